import numpy as np
import pytest

from toolchain.agent.measure.npy import map_npy


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([True, False]),
        np.zeros((64, 3, 8, 8), np.float16),
    ],
)
def test_an_array_is_mapped_as_numpy_maps_it(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    mapped, expected = map_npy(tmp_path / "a.npy"), np.load(tmp_path / "a.npy", mmap_mode="r")
    assert (mapped.dtype, mapped.shape, mapped.strides) == (expected.dtype, expected.shape, expected.strides)
    assert np.array_equal(mapped, expected)
    assert not mapped.flags.writeable


@pytest.mark.parametrize("cut", [-1, 1])
def test_a_file_of_another_size_than_its_header_declares_is_refused(tmp_path, cut):
    np.save(tmp_path / "a.npy", np.arange(6))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:cut] if cut < 0 else data + bytes(cut))
    with pytest.raises(ValueError, match="declares"):
        map_npy(tmp_path / "a.npy")


def test_an_archive_under_the_name_is_refused(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, a=np.arange(6))
    with pytest.raises(ValueError, match="begins with"):
        map_npy(tmp_path / "a.npy")
