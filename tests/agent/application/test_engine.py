"""An application on a board whose verdict is about an engine of TensorRT: that one is opened, and no other is given to it.

On the fakes of TensorRT and CUDA, which compute; not yet run on hardware.
"""

import gc
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.agent.application.boards import OUTPUTS, run_bare
from tests.agent.application.engines import add_engine_release, build, describe_engine, install_tensorrt
from tests.agent.quick_bundle import COUNTER, compute_sha256
from tests.conftest import build_model
from toolchain.agent.application import opened
from toolchain.agent.application.errors import ExpiredError, FrameError
from toolchain.agent.application.model import open_current
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.tensorrt.execution import TensorRtSession


@pytest.fixture
def jetson(monkeypatch, tmp_path):
    return install_tensorrt(monkeypatch, tmp_path)


@pytest.fixture
def engine(jetson):
    """Return the bytes of the engine that was proven."""
    return build(jetson.trt)


@pytest.fixture
def path(board, keys, engine):
    """Return the file of that engine on the board, whose active release it is."""
    add_engine_release(board, keys, engine)
    return board.root / "engines/built.engine"


def open_still(board, **options):
    return open_current(board.root, check_interval_s=None, **options)


def assert_refused(code, board, jetson, **options):
    """Assert that what is active is refused, and that TensorRT built nothing and was given nothing."""
    builds = jetson.trt.builds
    with pytest.raises(ToolchainError) as caught:
        open_still(board, **options)
    assert caught.value.code == code, caught.value
    assert caught.value.fix
    assert (jetson.trt.deserialized, jetson.trt.builds, jetson.cudart.list_leaks()) == ([], builds, {})
    return caught.value


def answer(frames, kind="float32"):
    return run_bare(build_model(kind), frames)


def assert_nothing_is_left(jetson):
    gc.collect()
    assert (jetson.cudart.list_leaks(), list(jetson.trt.alive)) == ({}, [])


def test_the_bytes_that_were_proven_are_what_answers_and_nothing_is_built_or_left(board, path, jetson, engine, frames):
    builds = jetson.trt.builds
    with open_still(board) as model:
        assert (model.release.bundle_id, model.is_proven, model.reasons) == (board.current, True, ())
        for count in (1, 6, 6, 6, 1):  # by itself, as a graph, and back
            np.testing.assert_allclose(model(frames[:count])["logits"], answer(frames[:count]), rtol=1e-5, atol=1e-6)
        assert model(frames[0])["logits"].shape == (4,)
        assert (model.batch, model.inputs[0].shape) == (None, (None, 3, 8, 8))
    assert (jetson.trt.deserialized, jetson.trt.builds) == ([compute_sha256(engine)], builds)
    del model
    assert_nothing_is_left(jetson)


# --- What must not open


def write_another_build(path, trt):
    other = build(trt)
    assert len(other) == path.stat().st_size
    path.write_bytes(other)


def link(path):
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def link_folder(path):
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.symlink_to("moved")


def put_fifo(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (write_another_build, ExitCode.CONTENT),
        (lambda path, trt: path.write_bytes(path.read_bytes() + b"\n"), ExitCode.CONTENT),
        (lambda path, trt: path.unlink(), ExitCode.CONTENT),
        (lambda path, trt: link(path), ExitCode.CONTENT),
        (lambda path, trt: put_fifo(path), ExitCode.CONTENT),
        (lambda path, trt: path.chmod(0o666), ExitCode.CONTENT),
        (lambda path, trt: path.parent.chmod(0o777), ExitCode.STORAGE),
        (lambda path, trt: link_folder(path), ExitCode.STORAGE),
    ],
    ids=["another build", "longer", "gone", "link", "pipe", "writable", "writable folder", "linked folder"],
)
def test_another_engine_or_one_that_others_could_change_is_never_given_to_tensorrt(change, code, board, path, jetson):
    change(path, jetson.trt)
    assert_refused(code, board, jetson, unproven="warn")


def test_an_engine_that_is_exchanged_after_it_was_read_changes_no_byte_of_what_is_opened(
    board, path, jetson, engine, frames, monkeypatch
):
    other, real = build(jetson.trt, "negated"), opened.open_proven_engine

    def exchange_and_open(runtime, file):
        path.write_bytes(other)
        return real(runtime, file)

    monkeypatch.setattr(opened, "open_proven_engine", exchange_and_open)
    with open_still(board) as model:
        assert jetson.trt.deserialized == [compute_sha256(engine)]
        np.testing.assert_allclose(model(frames)["logits"], answer(frames), rtol=1e-5, atol=1e-6)
        model.check()
        assert (model.trouble.code, str(path) in model.trouble.where) == (ExitCode.CONTENT, True)
        assert not model.is_proven


def test_another_tensorrt_on_the_disk_than_the_verdicts_is_not_given_the_engine(board, path, jetson):
    jetson.library.write_bytes(b"another TensorRT")
    error = assert_refused(ExitCode.EXPIRED, board, jetson)
    assert (type(error), "other bytes in" in error.found) == (ExpiredError, True)


def test_another_tensorrt_in_this_process_than_the_verdicts_is_not_given_the_engine(board, path, jetson):
    jetson.trt.__version__ = "10.4.0"
    error = assert_refused(ExitCode.EXPIRED, board, jetson)
    assert "has loaded 10.4.0" in error.found


def test_a_verdict_without_an_engine_does_not_make_tensorrt_build_one(board, path, jetson):
    board.edit_verdict(lambda verdict: verdict.update(engine=None))
    error = assert_refused(ExitCode.INCOMPATIBLE, board, jetson)
    assert (error.expected, error.found) == ("an engine of tensorrt", "no engine")


def test_an_engine_of_a_runtime_that_opens_none_is_refused(board, path, jetson, bundles):
    board.switch(bundles[0].id)
    board.edit_verdict(lambda verdict: verdict.update(engine=describe_engine(path)))
    error = assert_refused(ExitCode.INCOMPATIBLE, board, jetson)
    assert (error.expected, error.found) == ("a payload of onnxruntime", "an engine")


@pytest.mark.parametrize(
    ("outputs", "word"),
    [
        ([{**OUTPUTS[0], "dtype": "int64"}], "logits is float32, expected int64"),
        ([{**OUTPUTS[0], "shape": [None, 5]}], "(None, 4), expected (None, 5)"),
    ],
)
def test_an_engine_whose_outputs_are_not_the_manifests_is_refused_and_given_back(
    outputs, word, board, keys, jetson, engine
):
    add_engine_release(board, keys, engine, outputs=outputs)
    with pytest.raises(ToolchainError) as caught:
        open_still(board)
    assert (caught.value.code, word in caught.value.found) == (ExitCode.MALFORMED, True), caught.value
    assert_nothing_is_left(jetson)


def test_bytes_that_this_tensorrt_does_not_open_are_refused_in_words(board, keys, jetson, engine):
    add_engine_release(board, keys, engine.replace(b"sm_87", b"sm_72"))
    with pytest.raises(ToolchainError) as caught:
        open_still(board)
    assert (caught.value.code, caught.value.found) == (ExitCode.INCOMPATIBLE, "Version tag does not match")
    assert_nothing_is_left(jetson)


# --- While it runs


def test_a_frame_that_the_engine_was_not_built_for_is_refused_and_the_next_one_is_answered(board, path, frames):
    with open_still(board) as model:
        with pytest.raises(FrameError) as caught:
            model(np.zeros((65, 3, 8, 8), np.float32))
        assert (caught.value.code, "(65, 3, 8, 8)" in caught.value.found) == (ExitCode.USAGE, True)
        assert model(frames)["logits"].shape == (6, 4)


def test_the_buffers_of_an_engine_are_for_one_frame_at_a_time_and_another_thread_waits(
    board, path, frames, monkeypatch
):
    real, entered, seen = TensorRtSession.run, threading.Event(), []

    def run(session, feeds):
        if len(feeds["input"]) == 1:
            entered.set()
        else:
            seen.append((pool.submit(model, frames[:1]), entered.wait(0.3)))
        return real(session, feeds)

    with ThreadPoolExecutor(1) as pool, open_still(board, warm_up=False) as model:
        monkeypatch.setattr(TensorRtSession, "run", run)
        assert model(frames[:2])["logits"].shape == (2, 4)
        [(other, was_entered)] = seen
        assert not was_entered
        np.testing.assert_allclose(other.result()["logits"], answer(frames[:1]), rtol=1e-5, atol=1e-6)


def test_a_new_release_is_followed_and_one_whose_engine_is_another_is_not(board, keys, path, jetson, frames):
    first = board.current
    with open_still(board) as model:
        second = add_engine_release(board, keys, build(jetson.trt, "negated"), name="second", counter=COUNTER + 3)
        assert model.refresh()
        np.testing.assert_allclose(model(frames)["logits"], answer(frames, "negated"), rtol=1e-5, atol=1e-6)
        shutil.copy(board.root / "engines/second.engine", path)
        board.switch(first)
        with pytest.raises(ToolchainError) as caught:
            model.refresh()
        assert (caught.value.code, model.release.bundle_id) == (ExitCode.CONTENT, second)


def test_a_release_that_was_proven_anew_with_another_engine_is_opened_anew(board, path, jetson, frames):
    with open_still(board) as model:
        path.write_bytes(build(jetson.trt, "negated"))
        board.edit_verdict(lambda verdict: verdict.update(engine=describe_engine(path)))
        assert model.refresh()
        np.testing.assert_allclose(model(frames)["logits"], answer(frames, "negated"), rtol=1e-5, atol=1e-6)
