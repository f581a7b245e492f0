import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    sets = generator.random((count, 4)) < 0.4
    scores = np.where(sets, 2.0, 0.0) + generator.random((count, 4)) if perfect else generator.random((count, 4))
    return {"scores": scores.astype(np.float32)}, {"labels": sets.astype(np.int64)}


def measure(outputs, targets):
    tally = find_metric("average_precision").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("levels", [3, 10**6])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_scikit_learns_with_equal_scores_too(seed, levels):
    outputs, targets = draw(np.random.default_rng(seed), 60, perfect=False)
    scores = np.floor(outputs["scores"] * levels)
    expected = average_precision_score(targets["labels"], scores, average="macro")
    assert measure({"scores": scores}, targets) == pytest.approx(expected, abs=1e-9)


def test_one_label_a_sample_is_a_set_of_one():
    scores, labels = np.random.default_rng(0).random((30, 3)), np.arange(30) % 3
    assert measure({"s": scores}, {"labels": labels}) == measure(
        {"s": scores}, {"labels": np.eye(3, dtype=int)[labels]}
    )


def test_a_class_that_no_sample_has_is_left_out():
    assert measure({"s": np.array([[0.9, 0.9], [0.1, 0.8]])}, {"labels": np.array([[1, 0], [0, 0]])}) == 1.0


def test_a_nan_is_as_wrong_as_can_be():
    labels = {"labels": np.array([[1], [0], [0]])}
    assert measure({"s": np.array([[np.nan], [0.1], [0.2]])}, labels) == pytest.approx(1 / 3)
    assert measure({"s": np.array([[0.9], [np.nan], [0.2]])}, labels) == pytest.approx(1 / 2)


def test_no_positive_proves_nothing():
    refuse(ExitCode.INVALID, {"s": np.zeros((2, 3))}, {"labels": np.zeros((2, 3), int)})


@pytest.mark.parametrize("labels", [np.array([0, 2**40]), np.array([-1, 0])])
def test_a_label_without_a_score_is_refused_and_makes_no_array_of_its_size(labels):
    refuse(ExitCode.MALFORMED, {"s": np.zeros((2, 3))}, {"labels": labels})


def test_batches_of_other_classes_are_refused():
    tally = find_metric("average_precision").start()
    tally.add({"s": np.zeros((2, 3))}, {"labels": np.array([0, 1])})
    with pytest.raises(ToolchainError):
        tally.add({"s": np.zeros((2, 4))}, {"labels": np.array([0, 1])})
