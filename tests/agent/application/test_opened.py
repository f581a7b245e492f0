"""What may happen to a release in the middle of its being opened."""

import os
import shutil

import numpy as np
import pytest

from tests.agent.application.boards import make_board, make_payload_bundle, run_bare
from toolchain.agent.application import opened
from toolchain.agent.application.opened import Wishes, open_active
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.pinning import check_pinned, choose_cpus, list_threads


@pytest.fixture
def meanwhile(monkeypatch):
    """Return a function that has something happen right before the runtime opens the payload, each time."""

    def have(happen, *, after=lambda: None):
        def open_session(runtime, path, threads, **pinning):
            happen()
            session = real(runtime, path, threads, **pinning)
            after()
            return session

        real = opened.open_session
        monkeypatch.setattr(opened, "open_session", open_session)

    return have


def test_what_does_not_change_opens(board, meanwhile):
    meanwhile(lambda: None)
    assert open_active(board.root, Wishes())[0].release.bundle_id == board.current


def exchange(path, other):
    """Put another file in the place of one, and return what puts it back."""
    kept = path.with_name("kept")

    def put():
        path.rename(kept)
        shutil.copy(other, path)

    def put_back():
        path.unlink()
        kept.rename(path)

    return put, put_back


@pytest.mark.parametrize("is_put_back", [False, True])
def test_a_payload_that_is_exchanged_after_its_hash_is_refused_even_if_it_is_back_in_time(
    board, bundles, meanwhile, is_put_back
):
    other = board.root / "releases" / bundles[0].id / "payload/int8/model.onnx"
    put, put_back = exchange(board.payload, other)
    meanwhile(put, after=put_back if is_put_back else lambda: None)
    with pytest.raises(ToolchainError) as caught:
        open_active(board.root, Wishes())
    assert (caught.value.code, "exchanged" in caught.value.what) == (ExitCode.CONTENT, True)


def test_a_payload_that_is_written_over_after_its_hash_is_refused(board, bundles, meanwhile):
    other = bundles[0].files["payload/int8/model.onnx"]
    meanwhile(lambda: board.payload.write_bytes(other))
    with pytest.raises(ToolchainError) as caught:
        open_active(board.root, Wishes())
    assert caught.value.code == ExitCode.CONTENT


def test_a_release_in_whose_place_another_folder_is_put_is_refused(board, meanwhile, tmp_path):
    def put():
        shutil.copytree(board.release, tmp_path / "copy", symlinks=True)
        release = board.release
        release.rename(tmp_path / "original")
        (tmp_path / "copy").rename(release)

    meanwhile(put)
    with pytest.raises(ToolchainError) as caught:
        open_active(board.root, Wishes())
    assert caught.value.code == ExitCode.CONTENT


def test_a_release_that_becomes_active_meanwhile_is_the_one_that_is_opened(board, bundles, meanwhile):
    first = bundles[0].id
    meanwhile(lambda: board.switch(first) if board.current != first else None)
    assert open_active(board.root, Wishes())[0].release.bundle_id == first


def test_a_verdict_that_fails_meanwhile_is_the_one_that_counts(board, meanwhile):
    failure = {"time": "2026-11-01T00:00:00Z", "exit_code": 18, "reason": "parity is too low"}
    meanwhile(lambda: board.edit_verdict(lambda verdict: verdict.update(failure=failure)))
    with pytest.raises(ToolchainError) as caught:
        open_active(board.root, Wishes())
    assert caught.value.code == ExitCode.EXPIRED


def test_a_board_that_does_not_come_to_rest_is_given_up(board, bundles, meanwhile):
    ids = [bundle.id for bundle in bundles]
    meanwhile(lambda: board.switch(ids[ids.index(board.current) - 1]))
    with pytest.raises(ToolchainError) as caught:
        open_active(board.root, Wishes())
    assert caught.value.code == ExitCode.BUSY


def test_what_runs_already_is_not_opened_again_and_what_is_proven_anew_is(board):
    running, _, _ = open_active(board.root, Wishes())
    assert open_active(board.root, Wishes(), running)[0] is running
    board.edit_verdict(lambda verdict: verdict.update(time="2026-11-29T00:00:00Z"))
    assert open_active(board.root, Wishes(), running)[0] is not running


def test_a_payload_whose_inputs_are_not_the_manifests_is_refused(keys, bytecode, tmp_path):
    inputs = [{"name": "input", "dtype": "float32", "shape": [None, 3, 9, 9]}]
    board = make_board(tmp_path / "odd", keys, bytecode, make_payload_bundle("float32", inputs=inputs))
    with pytest.raises(ToolchainError) as caught:
        open_active(board.root, Wishes())
    assert (caught.value.code, "(None, 3, 8, 8)" in caught.value.found) == (ExitCode.MALFORMED, True)


def test_bytes_that_are_no_model_are_refused_in_words(keys, bytecode, tmp_path):
    board = make_board(tmp_path / "odd", keys, bytecode, make_payload_bundle("float32", content=b"no model"))
    with pytest.raises(ToolchainError) as caught:
        open_active(board.root, Wishes())
    assert (caught.value.code, "cannot open" in caught.value.what) == (ExitCode.MALFORMED, True)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two threads are pinned to two CPUs")
def test_threads_that_were_proven_pinned_are_pinned_in_the_application(pinned, frames):
    before = list_threads()
    found, _, _ = open_active(pinned.root, Wishes())
    assert (found.threads, found.release.pins_threads) == (2, True)
    check_pinned(choose_cpus(2, "here"), before, "here")
    np.testing.assert_allclose(found.answer(frames)["logits"], run_bare(str(pinned.payload), frames), rtol=1e-5)


@pytest.mark.usefixtures("one_cpu")
def test_an_application_of_one_cpu_does_not_run_unpinned_what_was_proven_pinned(pinned):
    with pytest.raises(ToolchainError) as caught:
        open_active(pinned.root, Wishes(refuses_unproven=False))
    assert (caught.value.code, caught.value.found[:3]) == (ExitCode.INCOMPATIBLE, "1: ")
    with pytest.raises(ToolchainError) as caught:
        open_active(pinned.root, Wishes())
    assert caught.value.code == ExitCode.EXPIRED
