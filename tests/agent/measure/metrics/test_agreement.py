import numpy as np
import pytest

from toolchain.agent.errors import ToolchainError
from toolchain.agent.measure.metrics import agreement


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    scores = generator.normal(size=(count, 5)).astype(np.float32)
    others = scores * 2 if perfect else generator.normal(size=(count, 5)).astype(np.float32)
    return {"scores": scores}, {"scores": others}


def measure(scores, others):
    tally = agreement.start()
    tally.add({"y": np.array(scores)}, {"scores": np.array(others)})
    return tally.compute()


def test_the_same_answer_agrees_however_sure_it_is():
    assert measure([[0.1, 0.9], [9.0, 0.0]], [[0.4, 0.6], [0.0, 1.0]]) == 0.5


def test_a_nan_agrees_with_nothing():
    assert measure([[np.nan, 0.0]], [[1.0, 0.0]]) == measure([[1.0, 0.0]], [[np.nan, 0.0]]) == 0.0


@pytest.mark.parametrize("others", [np.zeros((2, 4)), np.zeros((3, 3)), np.zeros(2)])
def test_scores_of_other_classes_or_samples_are_refused(others):
    with pytest.raises(ToolchainError):
        measure(np.zeros((2, 3)), others)


def test_one_number_for_a_sample_agrees_with_whatever_there_is_and_is_refused():
    with pytest.raises(ToolchainError) as caught:
        measure(np.ones((3, 1)), np.zeros((3, 1)))
    assert caught.value.expected == "scores of two classes or more"
