"""Files of arrays by people who mean harm: refused by what they are, before they take memory."""

import io
import os
import resource
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.project import npz_file
from toolchain.project.npz_file import list_names, open_arrays, read_arrays
from toolchain.project.stored_rows import StoredRows

ARRAYS = {
    "x": np.arange(6, dtype="<f4").reshape(2, 3),
    "of Fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "model/input:0": np.arange(3, dtype=">i2"),
    "a scalar": np.float64(2.5),
    "nothing": np.zeros((0, 3), dtype=bool),
    "texts": np.array(["a", "bc"]),
    "dates": np.array(["2024-01-02"], dtype="datetime64[ns]"),
}


def npy(array, **changes):
    """Return the bytes of a .npy file, with some values of its header changed."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {**np.lib.format.header_data_from_array_1_0(array), **changes})
    return buffer.getvalue() + array.tobytes("A")


def header(text, version=1):
    """Return a .npy file with this header and 24 bytes of content."""
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode() + bytes(24)


def write(path, *members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def change(path, old, new):
    """Change bytes of the list of members, which the local headers then contradict or follow."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def refuse(path):
    with pytest.raises(ToolchainError) as caught:
        read_arrays(path)
    error = caught.value
    assert (error.code, error.where) == (ExitCode.MALFORMED, str(path))
    assert len(str(error)) < 1000
    return error.found


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_what_numpy_reads(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, **ARRAYS)
    read = read_arrays(path)
    assert list(read) == list_names(path) == list(ARRAYS)
    with np.load(path) as archive:
        for name, expected in archive.items():
            assert (read[name].dtype, read[name].shape, read[name].strides) == (
                expected.dtype,
                expected.shape,
                expected.strides,
            )
            assert np.array_equal(read[name], expected)
            assert read[name].flags.aligned


@pytest.fixture
def all_stored(monkeypatch):
    """Leave arrays of any size in their file."""
    monkeypatch.setattr(npz_file, "_STORED_MIN", 0)


def test_arrays_that_stay_in_the_file_are_what_numpy_reads(tmp_path, all_stored):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    opened = open_arrays(tmp_path / "a.npz")
    stored = {name for name, array in opened.items() if isinstance(array, StoredRows)}
    # The others have no rows, or lie in another order.
    assert stored == ARRAYS.keys() - {"of Fortran", "a scalar", "nothing"}
    with np.load(tmp_path / "a.npz") as archive:
        for name, expected in archive.items():
            assert np.array_equal(opened[name][...], expected)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_only_large_arrays_that_are_not_compressed_stay_in_the_file(tmp_path, monkeypatch, save):
    monkeypatch.setattr(npz_file, "_STORED_MIN", 1000)
    save(tmp_path / "a.npz", small=np.zeros(10), large=np.zeros(200))
    opened = open_arrays(tmp_path / "a.npz")
    assert isinstance(opened["small"], np.ndarray)
    assert isinstance(opened["large"], StoredRows) == (save is np.savez)


def test_a_damaged_byte_of_what_stays_in_the_file_is_refused(tmp_path, all_stored):
    path = write(tmp_path / "a.npz", ("x.npy", X))
    open_arrays(path)
    change(path, ARRAYS["x"].tobytes(), ARRAYS["x"].tobytes()[:-1] + b"\x00")
    with pytest.raises(ToolchainError, match="CRC"):
        open_arrays(path)


def test_what_a_local_header_has_more_is_passed_over(tmp_path, all_stored):
    info = zipfile.ZipInfo("x.npy")
    info.extra = struct.pack("<HH", 0x9999, 4) + b"more"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(info, X)
    opened = open_arrays(tmp_path / "a.npz")["x"]
    assert isinstance(opened, StoredRows)
    assert np.array_equal(opened[...], ARRAYS["x"])


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }    \n",
        "{'shape':(2,3),'fortran_order':False,'descr':'<f4'}",
        '{"descr": "<f4", "shape": (2L, 3L), "fortran_order": False}\n',
    ],
    ids=["numpy", "in another order", "Python 2"],
)
def test_headers_of_other_writers_are_read(tmp_path, text):
    assert read_arrays(write(tmp_path / "a.npz", ("x.npy", header(text))))["x"].shape == (2, 3)


GOOD_HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
HEADERS = {
    "no Python": "\x00\x01{{{",
    "code": "__import__('os').system('true')",
    "brackets that nest": "(" * 4000,
    "a minus that nests": GOOD_HEADER.replace("2", "-" * 3000 + "2"),
    "a comprehension": GOOD_HEADER.replace("(2, 3)", "(*range(9**9),)"),
    "a negative axis": GOOD_HEADER.replace("2", "-2"),
    "an axis of 5000 digits": GOOD_HEADER.replace("2", "9" * 3000),
    "an axis beyond 64 bits": GOOD_HEADER.replace("2", "9" * 19),
    "axes that overflow": GOOD_HEADER.replace("2, 3", "4294967296, 4294967296"),
    "axes that overflow beside one of 0": GOOD_HEADER.replace("2, 3", "0, 4294967296, 4294967296"),
    "an axis of half": GOOD_HEADER.replace("2", "2.5"),
    "33 axes": GOOD_HEADER.replace("2, 3", "1, " * 33),
    "objects": GOOD_HEADER.replace("<f4", "|O"),
    "a record": GOOD_HEADER.replace("'<f4'", "[('a', '<f4')]"),
    "a record by text": GOOD_HEADER.replace("<f4", "f4,f4"),
    "no type": GOOD_HEADER.replace("<f4", "<q9"),
    "a type of no bytes": GOOD_HEADER.replace("<f4", "|S0"),
    "texts of a gigabyte": GOOD_HEADER.replace("<f4", "<U999999999"),
    "an order that is none": GOOD_HEADER.replace("False", "0"),
    "a key twice": GOOD_HEADER.replace("}", "'shape': (2, 3)}"),
    "a key more": GOOD_HEADER.replace("}", "'more': (2, 3)}"),
    "a key less": "{'descr': '<f4', 'shape': (2, 3)}",
    "something after it": GOOD_HEADER + "1",
    "longer than any": GOOD_HEADER + " " * 5000,
    "another size than there is": GOOD_HEADER.replace("2", "1"),
    "terabytes": GOOD_HEADER.replace("2", "9999999999999"),
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_is_no_plain_array_s_is_refused(tmp_path, text):
    refuse(write(tmp_path / "a.npz", ("x.npy", header(text))))


def test_a_header_that_ends_early_or_of_a_version_to_come_is_refused(tmp_path):
    for content in (b"", b"\x93NUMPY\x01", b"\x93NUMPY\x01\x00\xff", header(GOOD_HEADER)[:40], header(GOOD_HEADER, 9)):
        refuse(write(tmp_path / "a.npz", ("x.npy", content)))


X = npy(ARRAYS["x"])


@pytest.mark.parametrize("name", ["x.txt", "x", ".npy/", "x\x1b.npy", "x\u202e.npy", "x\n.npy"], ids=ascii)
def test_a_member_that_is_no_array_by_its_name_is_refused(tmp_path, name):
    assert "by its name" in refuse(write(tmp_path / "a.npz", (name, X)))


def test_two_members_of_one_name_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        path = write(tmp_path / "a.npz", ("x.npy", X), ("x.npy", X))
    assert "shares its name" in refuse(path)


def test_members_that_share_bytes_are_refused(tmp_path):
    path = write(tmp_path / "a.npz", ("x.npy", X), ("y.npy", X))
    with zipfile.ZipFile(path) as archive:
        second = archive.getinfo("y.npy").header_offset
    change(path, struct.pack("<I", second) + b"y.npy", struct.pack("<I", 0) + b"y.npy")
    assert "shares" in refuse(path)


def test_an_encrypted_member_is_refused(tmp_path):
    path = write(tmp_path / "a.npz", ("x.npy", X))
    change(path, b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00")
    assert "encrypted" in refuse(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_numpy_never_writes_is_refused(tmp_path, compression):
    assert "unusual" in refuse(write(tmp_path / "a.npz", ("x.npy", X), compression=compression))


def test_a_damaged_byte_is_refused(tmp_path):
    path = write(tmp_path / "a.npz", ("x.npy", X))
    change(path, ARRAYS["x"].tobytes(), ARRAYS["x"].tobytes()[:-1] + b"\x00")
    assert "CRC" in refuse(path)


def test_thousands_of_members_are_refused(tmp_path):
    assert "4,097 members" in refuse(write(tmp_path / "a.npz", *[(f"{n}.npy", b"") for n in range(4097)]))


def test_a_list_of_members_of_megabytes_is_refused(tmp_path):
    path = write(tmp_path / "a.npz", *[(f"{n:060000}.npy", b"") for n in range(80)])
    assert "a list of members" in refuse(path)


def test_a_bare_array_is_called_one(tmp_path):
    np.save(tmp_path / "a.npy", ARRAYS["x"])
    assert "one bare array" in refuse(tmp_path / "a.npy")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    assert refuse(tmp_path / "a.npz") == "it is a pipe, and no file"


def write_zeros(path, count_bytes):
    """Write an archive of zeros, which shrink a thousandfold, without having them in memory."""
    top = npy(np.zeros(0, np.uint8), shape=(count_bytes,))
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as file,
    ):
        file.write(top)
        for _ in range(count_bytes >> 20):
            file.write(bytes(1 << 20))
    return path


def test_an_archive_that_unpacks_to_hundreds_of_megabytes_is_refused_and_one_below_is_read(tmp_path):
    assert "does not compress" in refuse(write_zeros(tmp_path / "a.npz", 257 << 20))
    assert read_arrays(write_zeros(tmp_path / "b.npz", 16 << 20))["x"].nbytes == 16 << 20


def test_a_compressed_bomb_that_lies_about_its_size_takes_no_memory(tmp_path):
    path = write_zeros(tmp_path / "a.npz", 300 << 20)
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("x.npy").file_size
    change(path, struct.pack("<I", size), struct.pack("<I", 1000))
    code = (
        "import sys; from pathlib import Path; from toolchain.project.npz_file import *; read_arrays(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (256 << 20, 256 << 20)),
    )
    assert "the file is corrupt or unsafe" in done.stderr
    assert "MemoryError" not in done.stderr
