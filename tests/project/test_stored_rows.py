import os

import numpy as np
import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.stored_rows import StoredRows

ARRAY = np.arange(60, dtype=">i4").reshape(10, 3, 2)


def open_rows(path, array=ARRAY):
    path.write_bytes(b"before" + array.tobytes() + b"behind")
    return StoredRows(path.open("rb"), path, offset=6, dtype=array.dtype, shape=array.shape)


def refuse(rows, taken):
    with pytest.raises(ToolchainError) as caught:
        rows[taken]
    assert (caught.value.code, caught.value.fix != "") == (ExitCode.MALFORMED, True)
    assert "changed" in str(caught.value)


@pytest.mark.parametrize(
    "taken",
    [
        slice(0, 1),
        slice(3, 7),
        slice(8, 20),
        slice(5, 5),
        slice(7, 3),
        slice(None),
        ...,
        np.array([9, 0, 0, 4]),
        np.arange(0),
    ],
    ids=str,
)
def test_rows_are_those_of_the_array(tmp_path, taken):
    rows = open_rows(tmp_path / "a")
    assert (len(rows), rows.shape, rows.ndim, rows.dtype) == (10, (10, 3, 2), 3, ARRAY.dtype)
    assert rows[taken].dtype == ARRAY.dtype
    assert np.array_equal(rows[taken], ARRAY[taken])


def test_scalars_a_row_are_rows_too(tmp_path):
    assert open_rows(tmp_path / "a", np.arange(5.0))[2:4].tolist() == [2.0, 3.0]


def test_what_is_taken_is_the_callers_own(tmp_path):
    rows = open_rows(tmp_path / "a")
    rows[0:2][:] = 0
    assert np.array_equal(rows[0:2], ARRAY[0:2])


def test_a_row_that_is_not_there_is_an_error(tmp_path):
    for index in (10, -1):
        with pytest.raises(IndexError):
            open_rows(tmp_path / "a")[np.array([index])]


def test_a_file_that_was_cut_is_refused(tmp_path):
    rows = open_rows(tmp_path / "a")
    os.truncate(tmp_path / "a", 100)
    refuse(rows, slice(9, 10))
    refuse(rows, slice(0, 1))


def test_a_file_that_was_written_anew_is_refused(tmp_path):
    rows = open_rows(tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(content[::-1])
    os.utime(tmp_path / "a", ns=(0, 1))  # clocks of file systems are coarse
    refuse(rows, slice(0, 1))


def test_a_file_that_another_took_the_place_of_is_still_read(tmp_path):
    rows = open_rows(tmp_path / "a")
    (tmp_path / "b").write_bytes(bytes(300))
    (tmp_path / "b").replace(tmp_path / "a")
    assert np.array_equal(rows[4:6], ARRAY[4:6])
