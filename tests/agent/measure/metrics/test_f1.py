import numpy as np
import pytest
from sklearn.metrics import f1_score

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    scores = generator.normal(size=(count, 5)).astype(np.float32)
    labels = scores.argmax(axis=1) if perfect else generator.integers(0, 5, count)
    return {"scores": scores}, {"labels": labels}


def draw_sets(generator, count):
    scores = generator.random((count, 4)).astype(np.float32)
    return {"scores": scores}, {"labels": (generator.random((count, 4)) < 0.4).astype(np.int64)}


def measure(outputs, targets):
    tally = find_metric("f1").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_scikit_learns(seed):
    outputs, targets = draw(np.random.default_rng(seed), 60, perfect=False)
    expected = f1_score(targets["labels"], outputs["scores"].argmax(axis=1), average="macro")
    assert measure(outputs, targets) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_of_sets_it_is_scikit_learns(seed):
    outputs, targets = draw_sets(np.random.default_rng(seed), 60)
    expected = f1_score(targets["labels"], outputs["scores"] >= 0.5, average="macro", zero_division=np.nan)
    assert measure(outputs, targets) == pytest.approx(expected, abs=1e-9)


def test_the_threshold_is_an_option():
    tally = find_metric("f1", {"threshold": 0.9}).start()
    tally.add({"scores": np.array([[0.8, 0.95]])}, {"labels": np.array([[0, 1]])})
    assert tally.compute() == 1.0


def test_a_nan_is_right_nowhere():
    outputs = {"scores": np.array([[1.0, 0.0], [np.nan, 1.0]])}
    assert measure(outputs, {"labels": np.array([0, 1])}) == pytest.approx(1 / 3)
    assert measure({"scores": np.full((2, 2), np.nan)}, {"labels": np.array([[0, 1], [1, 0]])}) == 0.0


def test_a_class_number_however_large_is_one_class():
    outputs = {"scores": np.eye(3)}
    assert measure(outputs, {"labels": np.array([0, 1, 2**40])}) == pytest.approx(2 / 4)


def test_sets_without_any_class_prove_nothing():
    refuse(ExitCode.INVALID, {"scores": np.zeros((2, 3))}, {"labels": np.zeros((2, 3), int)})


@pytest.mark.parametrize("labels", [np.full((2, 3), 2), np.zeros((2, 4), int), np.zeros((2, 3))])
def test_sets_that_are_none_are_refused(labels):
    refuse(ExitCode.MALFORMED, {"scores": np.zeros((2, 3))}, {"labels": labels})


def test_a_nan_is_not_right_where_the_label_is_none_either():
    outputs = {"scores": np.array([[1.0, 0.0], [np.nan, 1.0]])}
    assert measure(outputs, {"labels": np.array([0, -1])}) == 0.5
