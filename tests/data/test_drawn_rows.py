import numpy as np
import pytest

from toolchain.data.drawn_rows import DrawnRows


@pytest.fixture
def drawn():
    return []


@pytest.fixture
def rows(drawn):
    def draw(index):
        drawn.append(index)
        return np.full((2, 3), index, dtype=np.uint8)

    return DrawnRows(range(10), draw, shape=(2, 3), dtype=np.uint8)


def test_it_reads_like_the_array_of_its_rows(rows):
    whole = np.arange(10, dtype=np.uint8)[:, None, None].repeat(2, axis=1).repeat(3, axis=2)
    assert (rows.shape, rows.dtype, rows.ndim, len(rows)) == (whole.shape, whole.dtype, whole.ndim, 10)
    assert np.array_equal(np.asarray(rows), whole)
    assert np.array_equal(rows[3:5], whole[3:5])
    assert np.array_equal(rows[np.array([7, 2])], whole[[7, 2]])
    assert np.array_equal(rows[4], whole[4])
    assert np.array_equal(rows[8:99], whole[8:])
    assert rows[5:5].shape == (0, 2, 3)


def test_only_what_is_asked_for_is_made(rows, drawn):
    chosen = rows.choose(np.array([7, 2, 5]))
    assert drawn == []
    assert chosen.shape == (3, 2, 3)
    assert chosen[1:][:, 0, 0].tolist() == [2, 5]
    assert drawn == [2, 5]
