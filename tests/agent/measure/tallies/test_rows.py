import numpy as np
import pytest

from toolchain.agent.measure.tallies.rows import Rows, sum_weighted, weigh_samples


def test_rows_are_copied_and_joined_in_their_order():
    rows, batch = Rows(), np.array([1, 2])
    rows.add(batch)
    batch[:] = 0
    rows.add(np.array([3]))
    assert (rows.join().tolist(), len(rows)) == ([1, 2, 3], 3)


def test_no_counts_are_one_each():
    assert weigh_samples(None, 3).tolist() == [1.0, 1.0, 1.0]
    assert weigh_samples(np.array([0, 2]), 2).tolist() == [0.0, 2.0]


@pytest.mark.parametrize("counts", [[1], [1, 1, 1], [-1, 1], [0.5, 1.0], [[1, 1]], [True, False]])
def test_counts_of_other_samples_are_refused(counts):
    with pytest.raises(ValueError, match="counts"):
        weigh_samples(np.array(counts), 2)


def test_a_sample_that_does_not_count_adds_no_infinity():
    assert sum_weighted(np.array([0.0, 2.0]), np.array([np.inf, 3.0])) == 6.0
    assert sum_weighted(np.array([1.0, 2.0]), np.array([np.inf, 3.0])) == np.inf
