import io

import numpy as np
import pytest

from tests.measure.shipping import ship
from tests.native_board import make_key
from toolchain.agent.manifest import read_manifest
from toolchain.bundle.sign import sign_manifest
from toolchain.errors import ExitCode, ToolchainError
from toolchain.measure.payload import choose_feeds, confine_payloads, open_payload, read_data
from toolchain.run.confine import limits
from toolchain.run.progress import Progress


@pytest.fixture
def data(samples, tmp_path):
    inputs, _, labels = samples
    path = tmp_path / "data.npz"
    np.savez(path, input=inputs, labels=labels)
    return path


def open_path(path, data=None, samples=8, threads=1):
    return open_payload(path, data=read_data(data), threads=threads, samples=samples)


def refuse(code, call, *arguments, **options):
    with pytest.raises(ToolchainError) as caught:
        call(*arguments, **options)
    assert caught.value.code == code
    return caught.value


def test_a_bundle_brings_its_own_data_and_its_first_candidate(make_bundle, samples):
    bundle = make_bundle()
    payload = open_path(bundle)
    assert payload.path == bundle / read_manifest(bundle)[0].candidates[0].path
    assert len(payload.feeds) == 8
    assert np.array_equal(payload.feeds[3]["input"], samples[0][3:4])
    assert payload.session.run(payload.feeds[0])["logits"].shape == (1, 4)


def test_a_bundle_that_was_proven_is_the_candidate_that_ships_on_its_threads(make_bundle):
    bundle = make_bundle(ways=[(1, False), (2, False)])
    assert [open_path(bundle, threads=given).threads for given in (None, 4)] == [1, 4]
    name = ship(bundle, 1)
    payload = open_path(bundle, threads=None)
    assert (payload.candidate, payload.threads, payload.is_shipped) == (name, 2, True)


def test_a_pin_of_other_bytes_is_refused(make_bundle):
    bundle = make_bundle()
    ship(bundle, 1)
    pin = bundle / "shipped.json"
    pin.write_text(pin.read_text().replace("float32", "int8"))
    refuse(ExitCode.CONTENT, open_path, bundle)


def test_no_more_samples_are_read_than_a_bundle_has(make_bundle, samples):
    assert len(open_path(make_bundle(), samples=1000).feeds) == len(samples[0])


def test_an_onnx_file_takes_its_data_from_an_npz(write_model, data, samples):
    payload = open_path(write_model("float32"), data)
    assert len(payload.feeds) == 8
    assert np.array_equal(payload.feeds[7]["input"], samples[0][7:8])


def test_an_onnx_file_without_data_borrows_that_of_another_payload(write_model, make_bundle):
    payloads = [open_path(write_model("float32")), open_path(make_bundle())]
    assert len(payloads[0].feeds) == 0
    assert choose_feeds(payloads) is payloads[1].feeds


def test_no_data_at_all_is_refused(write_model):
    error = refuse(ExitCode.USAGE, choose_feeds, [open_path(write_model("float32"))])
    assert error.where == "--data"


def test_models_of_other_inputs_are_refused(write_model, data, tmp_path):
    first = open_path(write_model("float32"), data)
    other = write_model("float32", batch=2)
    wide = tmp_path / "wide.onnx"
    wide.write_bytes(other.read_bytes().replace(b"input", b"image"))
    error = refuse(ExitCode.USAGE, choose_feeds, [first, open_path(wide)])
    assert error.where == str(wide)
    assert "image" in error.found


def test_a_bundle_that_differs_from_its_manifest_is_not_opened(make_bundle):
    bundle = make_bundle()
    path = bundle / "payload" / "int8" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    refuse(ExitCode.CONTENT, open_path, bundle)


def test_a_broken_onnx_file_is_refused_before_the_runtime_sees_it(write_model):
    path = write_model("float32")
    path.write_bytes(path.read_bytes()[:-10])
    refuse(ExitCode.MALFORMED, open_path, path)


@pytest.mark.parametrize(("name", "found"), [("none.onnx", "nothing"), ("notes.txt", "another file"), ("", "a folder")])
def test_a_path_that_is_no_model_is_refused(tmp_path, name, found):
    (tmp_path / "notes.txt").touch()
    error = refuse(ExitCode.USAGE, open_path, tmp_path / name)
    assert error.found == found


def test_missing_data_is_exit_3(write_model, tmp_path):
    refuse(ExitCode.MISSING, open_path, write_model("float32"), tmp_path / "none.npz")


def test_data_of_another_shape_is_refused(write_model, tmp_path):
    np.savez(tmp_path / "bad.npz", input=np.zeros((4, 1, 8, 8), np.float32))
    error = refuse(ExitCode.USAGE, open_path, write_model("float32"), tmp_path / "bad.npz")
    assert error.where == str(tmp_path / "bad.npz")


def test_data_takes_nothing_of_what_a_model_may_take(write_model, tmp_path, monkeypatch):
    """A thousand pictures have a gigabyte; they are the user's, and no reason to refuse a model of a kilobyte."""
    monkeypatch.setattr(limits, "_MEMORY_BASE_BYTES", 256 * 2**20)
    count = 300 * 2**20 // (3 * 8 * 8 * 4)
    np.savez(tmp_path / "large.npz", input=np.zeros((count, 3, 8, 8), np.float32))
    data, path = read_data(tmp_path / "large.npz"), write_model("float32")

    def work(on_progress):
        return [{"runs": len(open_payload(path, data=data, threads=1, samples=3).feeds)}]

    assert confine_payloads([path], work, progress=Progress(stream=io.StringIO(), quiet=True)) == [{"runs": 3}]


def test_a_bundle_beside_the_signature_of_another_manifest_is_refused(make_bundle, tmp_path):
    bundle = make_bundle()
    make_key(tmp_path / "key")
    manifest = (bundle / "manifest.json").read_bytes()
    (bundle / "manifest.json.sig").write_bytes(sign_manifest(manifest + b" ", tmp_path / "key"))
    refuse(ExitCode.SIGNATURE, open_path, bundle)
    (bundle / "manifest.json.sig").write_bytes(sign_manifest(manifest, tmp_path / "key"))
    assert open_path(bundle).feeds
