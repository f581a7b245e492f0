import os
import socket
from pathlib import Path

import pytest

from toolchain.agent import contents
from toolchain.agent.contents import check_contents
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import read_manifest
from toolchain.agent.regular import open_folder, open_regular_file


@pytest.fixture
def bundle(make_bundle):
    return make_bundle()


def assert_differs(bundle, path):
    manifest, _ = read_manifest(bundle)
    with pytest.raises(ToolchainError) as caught:
        check_contents(bundle, manifest)
    assert caught.value.code == ExitCode.CONTENT
    assert caught.value.where == path
    return caught.value


def test_an_intact_bundle_passes(bundle):
    check_contents(bundle, read_manifest(bundle)[0])


def test_a_signature_is_no_extra_file(bundle):
    (bundle / "manifest.json.sig").write_text("signature")
    check_contents(bundle, read_manifest(bundle)[0])


def test_a_truncated_payload_is_refused(bundle):
    payload = bundle / "payload/int8/model.onnx"
    os.truncate(payload, payload.stat().st_size - 1)
    assert "bytes" in assert_differs(bundle, "payload/int8/model.onnx").found


def test_one_flipped_bit_is_refused(bundle):
    payload = bundle / "golden/output-0.npy"
    data = bytearray(payload.read_bytes())
    data[-1] ^= 1
    payload.write_bytes(data)
    assert "sha256" in assert_differs(bundle, "golden/output-0.npy").found


def test_a_missing_file_is_refused(bundle):
    (bundle / "golden/target-0.npy").unlink()
    assert_differs(bundle, "golden/target-0.npy")


def test_an_extra_file_is_refused(bundle):
    (bundle / "payload/extra.onnx").write_bytes(b"")
    assert_differs(bundle, "payload/extra.onnx")


def test_an_extra_folder_is_refused(bundle):
    (bundle / "payload/empty").mkdir()
    assert_differs(bundle, "payload/empty")


def test_bytecode_in_the_bundle_is_refused_with_the_way_to_avoid_it(bundle):
    (bundle / "agent/__pycache__").mkdir()
    assert "-B" in assert_differs(bundle, "agent/__pycache__").fix


def test_a_link_in_place_of_a_file_is_refused_even_to_the_same_bytes(bundle, tmp_path):
    payload = bundle / "payload/int8/model.onnx"
    payload.rename(tmp_path / "moved.onnx")
    payload.symlink_to(tmp_path / "moved.onnx")
    assert assert_differs(bundle, "payload/int8/model.onnx").found == "a link"


def test_a_link_in_place_of_a_folder_is_refused(bundle, tmp_path):
    (bundle / "golden").rename(tmp_path / "moved")
    (bundle / "golden").symlink_to(tmp_path / "moved")
    assert_differs(bundle, "golden")


def test_a_pipe_in_place_of_a_file_is_refused_without_opening_it(bundle):
    (bundle / "golden/target-0.npy").unlink()
    os.mkfifo(bundle / "golden/target-0.npy")
    assert_differs(bundle, "golden/target-0.npy")


def test_a_socket_in_place_of_a_file_is_refused(bundle, monkeypatch):
    (bundle / "golden/target-0.npy").unlink()
    monkeypatch.chdir(bundle / "golden")  # the path of a socket has 108 bytes at most (unix(7))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("target-0.npy")
        assert_differs(bundle, "golden/target-0.npy")


def test_a_folder_in_place_of_a_file_is_refused(bundle):
    (bundle / "golden/target-0.npy").unlink()
    (bundle / "golden/target-0.npy").mkdir()
    assert_differs(bundle, "golden/target-0.npy")


@pytest.mark.parametrize(
    "name", ["MANIFEST.JSON", "Manifest.json.sig", "pay\u202eload", "a\nb", b"\xff".decode("utf-8", "surrogateescape")]
)
def test_an_extra_file_is_refused_whatever_its_name(bundle, name):
    (bundle / name).write_bytes(b"")
    assert_differs(bundle, name)


def test_nothing_below_a_folder_that_is_not_listed_is_looked_at(bundle, monkeypatch):
    path = bundle / "deep"
    for _ in range(300):
        path.mkdir()
        monkeypatch.chdir(path)
        path = Path("d")
    assert_differs(bundle, "deep")


def test_a_folder_of_countless_files_is_left_at_the_first_that_is_not_listed(bundle, monkeypatch):
    for number in range(1000):
        (bundle / f"extra-{number}").touch()
    walked = []
    walk = contents._walk

    def count(*arguments):
        for item in walk(*arguments):
            walked.append(item)
            yield item

    monkeypatch.setattr(contents, "_walk", count)
    with pytest.raises(ToolchainError):
        check_contents(bundle, read_manifest(bundle)[0])
    assert len(walked) < 10


def test_a_sparse_file_larger_than_the_manifest_says_is_not_hashed(bundle):
    os.truncate(bundle / "golden/output-0.npy", 2**40)
    assert assert_differs(bundle, "golden/output-0.npy").found == f"{2**40} bytes"


def test_a_file_that_grows_as_it_is_read_is_read_no_further(bundle, monkeypatch):
    path = bundle / "golden/output-0.npy"
    entry = next(entry for entry in read_manifest(bundle)[0].files if entry.path == "golden/output-0.npy")

    def open_growing(own, **options):
        file = open_regular_file(own, **options)
        read = file.read
        reads = []

        class Growing:
            def __enter__(self):
                return self

            def __exit__(self, *error):
                file.close()

            def fileno(self):
                return file.fileno()

            def read(self, size):
                reads.append(size)
                assert len(reads) < 100
                with path.open("ab") as more:
                    more.write(b"x" * 4096)
                return read(size)

        return Growing()

    def check():
        with open_folder(bundle) as folder:
            contents.check_file_at(folder, entry)

    monkeypatch.setattr(contents, "open_regular_file", open_growing)
    check()  # the bytes that were there are those of the manifest
    monkeypatch.undo()
    with pytest.raises(ToolchainError):
        check()
