import numpy as np
import pytest
from sklearn.metrics import f1_score

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.targets import Ragged


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    wanted = generator.integers(0, 5, (count, 8))
    found = wanted if perfect else generator.integers(0, 5, (count, 8))
    return {"tags": found}, {"tags": np.where(generator.random(wanted.shape) < 0.2, -100, wanted)}


def measure(outputs, targets):
    tally = find_metric("token_f1").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_scikit_learns_of_the_tokens_that_count(seed):
    outputs, targets = draw(np.random.default_rng(seed), 20, perfect=False)
    counts = targets["tags"] != -100
    expected = f1_score(targets["tags"][counts], outputs["tags"][counts], average="macro")
    assert measure(outputs, targets) == pytest.approx(expected, abs=1e-9)


def test_a_class_number_however_large_is_one_class():
    value = measure({"tags": np.array([[1, 2**40]])}, {"tags": np.array([[1, 2**41]])})
    assert value == pytest.approx(1 / 3)


def test_ragged_tags_are_tags_without_padding():
    offsets = np.array([0, 1, 3])
    found, wanted = (Ragged(values=np.array(tags), offsets=offsets) for tags in ([1, 2, 0], [1, 2, 1]))
    padded = np.array([[1, -100], [2, 1]])
    assert measure({"tags": found}, {"tags": wanted}) == measure({"tags": np.array([[1, 4], [2, 0]])}, {"tags": padded})


def test_samples_without_a_token_that_counts_prove_nothing():
    refuse(ExitCode.INVALID, {"tags": np.zeros((2, 3), int)}, {"tags": np.full((2, 3), -100)})


@pytest.mark.parametrize("tags", [np.zeros((2, 4), int), np.zeros((2, 3)), np.zeros(2, int)])
def test_tags_of_other_tokens_or_types_are_refused(tags):
    refuse(ExitCode.MALFORMED, {"tags": tags}, {"tags": np.zeros((2, 3), int)})
    refuse(ExitCode.MALFORMED, {"tags": np.zeros((2, 3), int)}, {"tags": tags})


def test_a_token_without_an_answer_is_not_right_where_the_target_is_none_either():
    assert measure({"tags": np.array([[0, -1]])}, {"tags": np.array([[0, -1]])}) == 0.5


def test_tokens_of_one_class_alone_prove_nothing():
    refuse(ExitCode.INVALID, {"tags": np.zeros((2, 3), int)}, {"tags": np.zeros((2, 3), int)})
