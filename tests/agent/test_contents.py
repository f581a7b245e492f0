import os

import pytest

from toolchain.agent.contents import check_contents
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import read_manifest


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
