import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import top1


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    scores = generator.normal(size=(count, 7)).astype(np.float32)
    labels = scores.argmax(axis=1) if perfect else generator.integers(0, 7, count)
    return {"scores": scores}, {"labels": labels}


def measure(scores, labels):
    tally = top1.start()
    tally.add({"scores": np.array(scores)}, {"labels": np.array(labels)})
    return tally.compute()


def test_hits_are_counted():
    assert measure([[0.1, 0.9], [0.8, 0.2], [3.0, -3.0]], [1, 1, 0]) == pytest.approx(2 / 3)


def test_scores_with_trailing_axes_of_one_are_scores():
    assert measure(np.array([1.0, 5.0, 2.0]).reshape(1, 3, 1, 1), [1]) == 1.0


def test_a_sample_with_a_nan_is_wrong_wherever_it_stands():
    assert measure([[np.nan, 1.0], [1.0, np.nan]], [0, 0]) == 0.0


def test_masked_classes_of_minus_infinity_are_scores():
    assert measure([[-np.inf, 1.0]], [1]) == 1.0


def test_the_first_output_is_read_and_no_other():
    tally = top1.start()
    tally.add({"a": np.array([[0.0, 1.0]]), "b": np.array([[1.0, 0.0]])}, {"labels": np.array([1])})
    assert tally.compute() == 1.0


@pytest.mark.parametrize("shape", [(2,), (3, 5), (2, 5, 4, 4), (2, 0)])
def test_an_output_that_is_no_scores_is_refused(shape):
    with pytest.raises(ToolchainError) as caught:
        measure(np.zeros(shape), [0, 0])
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


@pytest.mark.parametrize("labels", [[0.0, 1.0], [[0], [1]], [True, False]])
def test_labels_that_are_no_class_numbers_are_refused(labels):
    with pytest.raises(ToolchainError, match="labels"):
        measure(np.zeros((2, 3)), labels)
