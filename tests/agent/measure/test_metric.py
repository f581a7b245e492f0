import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metric import create_metric


def test_top1_counts_hits_over_all_batches():
    metric = create_metric("top1")
    metric.add(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    metric.add(np.array([[3.0, -3.0]]), np.array([0]))
    assert metric.samples == 3
    assert metric.compute() == pytest.approx(2 / 3)


def test_scores_with_trailing_axes_of_one_are_scores():
    metric = create_metric("top1")
    metric.add(np.array([1.0, 5.0, 2.0]).reshape(1, 3, 1, 1), np.array([1]))
    assert metric.compute() == 1.0


@pytest.mark.parametrize("shape", [(2,), (3, 5), (2, 5, 4, 4)])
def test_an_output_that_is_no_scores_is_refused(shape):
    with pytest.raises(ToolchainError) as caught:
        create_metric("top1").add(np.zeros(shape), np.array([0, 0]))
    assert caught.value.code == ExitCode.MALFORMED


def test_an_unknown_metric_is_a_usage_error_that_lists_the_known():
    with pytest.raises(ToolchainError) as caught:
        create_metric("top5")
    assert caught.value.code == ExitCode.USAGE
    assert "top1" in caught.value.expected
