import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolchain.bundle.arrays import ArrayWriter


@given(
    array=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_, np.float16]),
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=5),
    ),
    cuts=st.lists(st.integers(0, 5), max_size=3),
)
def test_any_array_cut_anywhere_is_read_back_the_same(tmp_path_factory, array, cuts):
    path = tmp_path_factory.mktemp("arrays") / "array.npy"
    with ArrayWriter(path, len(array)) as writer:
        for batch in np.split(array, sorted(min(cut, len(array)) for cut in cuts)):
            writer.add(batch)
        writer.finish()
    read = np.load(path)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), array)


def test_a_batch_that_is_a_view_is_written_in_order(tmp_path):
    array = np.arange(24).reshape(4, 6)
    with ArrayWriter(tmp_path / "a.npy", 6) as writer:
        writer.add(array.T)
        writer.finish()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array.T)


def test_too_few_samples_are_noticed(tmp_path):
    with ArrayWriter(tmp_path / "a.npy", 6) as writer:
        writer.add(np.zeros((5, 2)))
        with pytest.raises(ValueError, match="5 samples were written, 6 announced"):
            writer.finish()
