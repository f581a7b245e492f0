import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.tallies.class_counts import ClassCounts, count_pairs, score_f1, score_iou

HUGE = 2**40


def test_pairs_are_counted_by_class():
    assert count_pairs(np.array([0, 1, 1]), np.array([0, 0, 1])).tolist() == [[0, 1, 1, 2], [1, 1, 2, 1]]


def test_a_class_number_however_large_is_one_class():
    rows = count_pairs(np.array([HUGE, -1]), np.array([HUGE, 3]))
    assert rows.tolist() == [[-1, 0, 1, 0], [3, 0, 0, 1], [HUGE, 1, 1, 1]]
    counts = ClassCounts("x", unit="sample", score=score_iou)
    counts.add_samples(2, np.array([1, 1, 0]), rows)
    assert counts.compute() == pytest.approx(1 / 3)


def test_scores_are_of_the_sums_and_classes_that_do_not_occur_are_left_out():
    counts = ClassCounts("x", unit="sample", score=score_f1)
    counts.add_samples(2, np.array([0, 1]), np.array([[0, 1, 1, 1], [1, 0, 0, 1]]))
    assert counts.compute() == 0.5
    assert counts.compute(np.array([3, 0])) == 1.0


@pytest.mark.parametrize("rows", [np.zeros((0, 4), np.int64), np.array([[0, 0, 1, 0]])])
def test_no_class_that_is_true_proves_nothing(rows):
    counts = ClassCounts("x", unit="sample", score=score_f1)
    counts.add_samples(1, np.zeros(len(rows)), rows)
    with pytest.raises(ToolchainError) as caught:
        counts.compute()
    assert caught.value.code is ExitCode.INVALID


@pytest.mark.parametrize("most", [3, 1023, 1024, 10**6])
def test_large_numbers_are_counted_as_small_ones_are(most):
    generator = np.random.default_rng(most)
    predicted, true = generator.integers(0, most, (2, 500))
    rows = count_pairs(predicted.astype(np.int32), true)
    for label, both, first, second in rows.tolist():
        expected = ((predicted == label) & (true == label), predicted == label, true == label)
        assert [both, first, second] == [int(part.sum()) for part in expected]
    assert rows[:, 2].sum() == rows[:, 3].sum() == 500
    assert sorted(rows[:, 0]) == sorted({*predicted.tolist(), *true.tolist()})
