"""An application and its board: what opens, what must not, and what becomes of frames while releases change."""

import gc
import logging
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.agent.application.boards import make_board, make_payload_bundle, run_bare
from toolchain.agent.application.errors import ClosedError, ExpiredError, FrameError
from toolchain.agent.application.model import open_current
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.in_use import is_in_use


def open_still(board, **options):
    """Open it, with no thread that looks for releases: the test says when."""
    return open_current(board.root, check_interval_s=None, **options)


def assert_refused(code, board, **options):
    with pytest.raises(ToolchainError) as caught:
        open_still(board, **options)
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def answer(board, frames):
    return run_bare(str(board.payload), frames)


def test_the_proven_payload_answers_bit_for_bit_as_the_bare_runtime(board, frames):
    with open_current(board.root) as model:
        assert np.array_equal(model(frames)["logits"], answer(board, frames))
        release = model.release
        assert (model.is_proven, model.reasons, model.trouble) == (True, (), None)
        assert (release.bundle_id, release.model, release.precision) == (board.current, "small", "int8")
        assert (model.threads, model.batch, model.inputs[0].shape) == (1, None, (None, 3, 8, 8))


def test_a_sample_without_a_batch_axis_gets_answers_without_one(board, frames):
    with open_still(board) as model:
        logits = model(frames[2])["logits"]
        assert np.array_equal(logits, model({"input": frames[2:3]})["logits"][0])
        assert logits.shape == (4,)


def test_a_root_that_is_a_link_to_a_larger_disk_opens(board, frames, tmp_path):
    (tmp_path / "link").symlink_to(board.root)
    with open_current(tmp_path / "link", check_interval_s=None) as model:
        assert np.array_equal(model(frames)["logits"], answer(board, frames))


def test_the_outputs_are_what_the_bundles_decoder_makes_of_them_unless_raw_ones_are_asked_for(
    keys, bytecode, frames, tmp_path
):
    bundle = make_payload_bundle("float32", decoder={"name": "softmax", "options": {}})
    board = make_board(tmp_path / "decoded", keys, bytecode, bundle)
    with open_still(board) as model, open_still(board, raw=True) as raw:
        scores = model(frames)["scores"]
        assert np.allclose(scores.sum(axis=1), 1, atol=1e-6)
        assert np.array_equal(scores[1], model(frames[1])["scores"])
        assert np.array_equal(raw(frames)["logits"], answer(board, frames))


def test_a_decoder_that_the_application_does_not_have_is_named_and_raw_outputs_are_the_way_out(
    keys, bytecode, frames, tmp_path
):
    bundle = make_payload_bundle("float32", decoder={"name": "of_nobody", "options": {}})
    board = make_board(tmp_path / "decoded", keys, bytecode, bundle)
    error = assert_refused(ExitCode.USAGE, board)
    assert ("of_nobody" in error.what, "raw=True" in error.fix) == (True, True)
    with open_still(board, raw=True) as model:
        assert model(frames)["logits"].shape == (6, 4)


# --- What must not open


def change_a_byte(board):
    data = bytearray(board.payload.read_bytes())
    data[-1] ^= 1
    board.payload.write_bytes(data)


def point_shipped_elsewhere(board):
    (board.release / "shipped").unlink()
    (board.release / "shipped").symlink_to("golden")


def replace_payload_by_link(board, tmp):
    shutil.copy(board.payload, tmp / "copy.onnx")
    board.payload.unlink()
    board.payload.symlink_to(tmp / "copy.onnx")


def replace_manifest(board):
    path = board.release / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"counter": ', b'"counter": 1'))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda board, tmp: change_a_byte(board), ExitCode.CONTENT),
        (lambda board, tmp: board.payload.write_bytes(b""), ExitCode.CONTENT),
        (lambda board, tmp: board.payload.unlink(), ExitCode.CONTENT),
        (replace_payload_by_link, ExitCode.CONTENT),
        (lambda board, tmp: replace_manifest(board), ExitCode.CONTENT),
        (lambda board, tmp: point_shipped_elsewhere(board), ExitCode.CONTENT),
        (lambda board, tmp: board.payload.chmod(0o666), ExitCode.CONTENT),
        (lambda board, tmp: board.release.chmod(0o777), ExitCode.CONTENT),
        (lambda board, tmp: board.root.chmod(0o777), ExitCode.STORAGE),
        (lambda board, tmp: (board.root / "verdicts").chmod(0o777), ExitCode.STORAGE),
        (lambda board, tmp: board.edit_verdict(lambda verdict: verdict.update(exit_code=18)), ExitCode.MALFORMED),
        (lambda board, tmp: board.edit_verdict(lambda verdict: verdict.update(schema=2)), ExitCode.MALFORMED),
        (lambda board, tmp: board.edit_verdict(lambda v: v["shipped"].update(sha256="0" * 64)), ExitCode.CONTENT),
        (lambda board, tmp: shutil.rmtree(board.release), ExitCode.CONTENT),
        (lambda board, tmp: (board.root / "current").unlink(), ExitCode.USAGE),
        (lambda board, tmp: board.link("../../etc"), ExitCode.MALFORMED),
    ],
)
@pytest.mark.parametrize("unproven", ["refuse", "warn"])
def test_what_is_not_the_proven_payload_opens_neither_way(board, tmp_path, change, code, unproven, monkeypatch):
    monkeypatch.setattr("toolchain.agent.application.hold._ATTEMPTS", 2)
    change(board, tmp_path)
    assert_refused(code, board, unproven=unproven)


def test_a_root_of_another_user_below_ours_is_refused(board, tmp_path):
    import os

    if os.geteuid():
        pytest.skip("only root may give a file away")
    os.chown(board.payload, 12345, -1)
    assert "12345" in assert_refused(ExitCode.CONTENT, board).found


@pytest.mark.parametrize("place", ["nowhere", "empty", "file"])
def test_a_folder_that_is_no_board_is_told_so(tmp_path, place):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ToolchainError) as caught:
        open_current(tmp_path / place)
    assert caught.value.code in (ExitCode.USAGE, ExitCode.STORAGE)
    assert caught.value.fix


def test_a_manifest_of_a_newer_schema_is_told_with_both_numbers(board):
    import hashlib
    import json

    manifest = json.loads((board.release / "manifest.json").read_text())
    data = json.dumps({**manifest, "schema": 99, "of_the_future": {}}).encode()
    newer = hashlib.sha256(data).hexdigest()
    shutil.copytree(board.release, board.root / "releases" / newer, symlinks=True)
    (board.root / "releases" / newer / "manifest.json").write_bytes(data)
    board.link(f"releases/{newer}")
    error = assert_refused(ExitCode.MALFORMED, board)
    assert (error.found, "another version of the toolchain" in error.what) == ("99", True)


def test_a_release_without_a_verdict_is_refused_either_way(board):
    (board.root / "verdicts" / f"{board.current}.json").unlink()
    for unproven in ("refuse", "warn"):
        error = assert_refused(ExitCode.EXPIRED, board, unproven=unproven)
        assert "no verdict is recorded" in error.found


def fail_in_place(verdict):
    verdict["failure"] = {"time": "2026-11-01T00:00:00Z", "exit_code": 18, "reason": "parity is too low"}


def revoke(board):
    (board.root / "revoked_keys").write_bytes((board.root / "allowed_signers").read_bytes().partition(b" ")[2])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda board: board.edit_verdict(lambda v: v["environment"].update(runtime_version="1.0")), "1.0 →"),
        (lambda board: board.edit_verdict(lambda v: v["environment"].update(kernel="2.6")), "kernel 2.6"),
        (lambda board: board.edit_verdict(lambda v: v["environment"]["libraries"].clear()), "other bytes"),
        (lambda board: board.edit_verdict(fail_in_place), "parity is too low (exit 18)"),
        (revoke, "revoked"),
        (lambda board: (board.root / "allowed_signers").write_text("nobody ssh-ed25519 AAAA\n"), "sign"),
    ],
)
def test_a_verdict_that_holds_no_more_is_refused_with_its_reasons_or_warned_of_as_asked(
    board, frames, caplog, change, word
):
    change(board)
    with pytest.raises(ExpiredError) as caught:
        open_still(board)
    assert word in caught.value.found
    assert caught.value.code == ExitCode.EXPIRED
    with caplog.at_level(logging.WARNING, "edge_app"), open_still(board, unproven="warn") as model:
        assert np.array_equal(model(frames)["logits"], answer(board, frames))
        assert (model.is_proven, any(word in reason for reason in model.reasons)) == (False, True)
    assert word in caplog.text


@pytest.mark.parametrize(
    "options", [{"unproven": "ignore"}, {"check_interval_s": 0}, {"check_interval_s": float("nan")}]
)
def test_arguments_that_mean_nothing_are_refused(board, options):
    with pytest.raises(ToolchainError) as caught:
        open_current(board.root, **options)
    assert caught.value.code == ExitCode.USAGE


# --- While it runs


def test_another_release_answers_once_it_is_active_and_the_old_one_is_let_go(board, frames, bundles):
    first, second = (bundle.id for bundle in bundles)
    with open_still(board) as model:
        assert (model.release.bundle_id, is_in_use(board.root / "releases" / second)) == (second, True)
        assert model.refresh() is False
        board.switch(first)
        assert model.release.bundle_id == second
        assert model.refresh() is True
        assert np.array_equal(model(frames)["logits"], answer(board, frames))
        assert model.release.bundle_id == first
        assert (is_in_use(board.root / "releases" / first), is_in_use(board.root / "releases" / second)) == (
            True,
            False,
        )
    assert not is_in_use(board.root / "releases" / first)


def test_a_deploy_leaves_the_release_that_an_application_runs(board, frames, keys, bundles):
    first, second = (bundle.id for bundle in bundles)
    board.switch(first)
    with open_still(board) as model:
        expected = answer(board, frames)
        board.switch(second)
        newer = make_payload_bundle("int8", counter=1_790_000_009).sign(keys["allowed"])
        assert board.install(newer, "--keep", "2").code == 0
        assert first in board.list_releases()
        assert np.array_equal(model(frames)["logits"], expected)
    assert (
        board.install(make_payload_bundle("nan", counter=1_790_000_010).sign(keys["allowed"]), "--keep", "2").code == 0
    )
    assert first not in board.list_releases()


def test_a_rollback_of_the_boards_own_agent_is_followed(board, frames, bundles):
    with open_current(board.root, check_interval_s=0.02) as model:
        assert board.rollback().code == 0
        wait_for(lambda: model.release.bundle_id == bundles[0].id)
        assert (model.is_proven, model.trouble) == (True, None)
        assert np.array_equal(model(frames)["logits"], answer(board, frames))


def test_between_a_rollbacks_link_and_its_state_the_old_release_answers_on(board, bundles):
    with open_still(board) as model:
        board.link(f"releases/{bundles[0].id}")
        model.check()
        assert ("older than one" in model.trouble.found, model.release.bundle_id) == (True, bundles[1].id)
        board.switch(bundles[0].id)
        model.check()
        assert (model.trouble, model.release.bundle_id) == (None, bundles[0].id)


def test_no_frame_is_lost_and_none_is_answered_by_both_while_releases_change_under_load(board, frames, bundles):
    expected = [run_bare(bundle.files["payload/int8/model.onnx"], frames) for bundle in bundles]
    stop, seen = threading.Event(), [set(), set()]

    def run(index):
        answered = 0
        while not stop.is_set():
            logits = model(frames)["logits"]
            (release,) = [number for number, array in enumerate(expected) if np.array_equal(array, logits)]
            seen[index].add(release)
            answered += 1
        return answered

    with open_current(board.root, check_interval_s=0.01) as model, ThreadPoolExecutor(2) as pool:
        counts = [pool.submit(run, index) for index in range(2)]
        for turn in range(6):
            board.switch(bundles[turn % 2].id)
            wait_for(lambda turn=turn: model.release.bundle_id == bundles[turn % 2].id)
        stop.set()
        assert all(count.result() > 0 for count in counts)
        assert model.trouble is None
    assert seen == [{0, 1}, {0, 1}]


def wait_for(condition):
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never became so")


def test_a_new_release_that_may_not_open_leaves_the_old_one_answering_and_says_why(board, frames, bundles, caplog):
    first, second = (bundle.id for bundle in bundles)
    with open_still(board) as model:
        expected = answer(board, frames)
        damaged = board.root / "releases" / first / "payload/int8/model.onnx"
        good = damaged.read_bytes()
        damaged.write_bytes(b"x" + good[1:])
        board.switch(first)
        with pytest.raises(ToolchainError):
            model.refresh()
        model.check()
        model.check()
        assert (model.trouble.code, model.release.bundle_id) == (ExitCode.CONTENT, second)
        assert np.array_equal(model(frames)["logits"], expected)
        assert caplog.text.count("the bundle differs from its manifest") == 1
        damaged.write_bytes(good)
        board.edit_verdict(lambda verdict: None)  # as a deploy of it does, which proves it anew
        model.check()
        assert (model.trouble, model.release.bundle_id) == (None, first)


def test_what_could_not_be_opened_is_tried_again_after_a_while(board, bundles, monkeypatch):
    with open_still(board) as model:
        monkeypatch.setattr("toolchain.agent.application.model._LOOKS_UNTIL_RETRY", 3)
        tries = []

        def fail(root, wishes, running):
            tries.append(root)
            raise OSError(24, "Too many open files")

        monkeypatch.setattr("toolchain.agent.application.model.open_active", fail)
        board.switch(bundles[0].id)
        for _ in range(7):
            model.check()
        assert (len(tries), "Too many open files" in model.trouble.found) == (3, True)


@pytest.mark.parametrize("what", ["payload", "release", "root"])
def test_a_payload_that_is_gone_while_it_is_open_is_told_and_answers_on(board, frames, what):
    with open_still(board) as model:
        expected = answer(board, frames)
        gone = {"payload": board.payload, "release": board.release, "root": board.root}[what]
        board.payload.unlink() if what == "payload" else shutil.rmtree(gone)
        model.check()
        assert model.trouble.code == (ExitCode.USAGE if what == "root" else ExitCode.CONTENT)
        assert np.array_equal(model(frames)["logits"], expected)


def test_a_payload_that_is_written_over_while_it_is_open_is_told(board, frames):
    with open_still(board) as model:
        expected = answer(board, frames)
        change_a_byte(board)
        model.check()
        assert "other bytes" in model.trouble.found
        assert np.array_equal(model(frames)["logits"], expected)


def test_a_proof_that_fails_while_it_is_open_is_told(board):
    with open_still(board) as model:
        board.edit_verdict(fail_in_place)
        model.check()
        model.check()
        assert (model.trouble.code, "parity is too low" in model.trouble.found) == (ExitCode.EXPIRED, True)
        assert not model.is_proven
        board.edit_verdict(lambda verdict: verdict.update(failure=None))
        model.check()
        assert (model.trouble, model.is_proven) == (None, True)


def test_a_key_that_is_revoked_while_it_is_open_is_told_after_a_while(board, frames, monkeypatch):
    monkeypatch.setattr("toolchain.agent.application.model._LOOKS_UNTIL_PROOF", 3)
    with open_still(board) as model:
        revoke(board)
        proven = []
        for _ in range(5):
            model.check()
            proven.append(model.is_proven)
        assert (proven, model.trouble.code) == ([True, True, False, False, False], ExitCode.EXPIRED)
        assert np.array_equal(model(frames)["logits"], answer(board, frames))


def test_a_release_that_failed_and_is_rolled_back_stands_against_nothing(board, bundles):
    with open_still(board) as model:
        board.link(f"releases/{bundles[0].id}")
        model.check()
        assert model.trouble is not None
        board.link(f"releases/{bundles[1].id}")
        model.check()
        assert (model.trouble, model.is_proven) == (None, True)


@pytest.mark.parametrize("frame", [np.zeros((1, 3, 8, 9), np.float32), np.zeros((3, 8, 8)), [1.0], None])
def test_a_frame_that_does_not_fit_is_refused_and_the_next_one_answered(board, frames, frame):
    with open_still(board) as model:
        with pytest.raises(FrameError) as caught:
            model(frame)
        assert (caught.value.code, bool(caught.value.expected), bool(caught.value.found)) == (
            ExitCode.USAGE,
            True,
            True,
        )
        assert np.array_equal(model(frames)["logits"], answer(board, frames))


def test_a_closed_model_says_so_and_holds_nothing(board, frames):
    model = open_current(board.root)
    release = board.root / "releases" / model.release.bundle_id
    model.close()
    model.close()
    for use in (lambda: model(frames), lambda: model.release, model.refresh):
        with pytest.raises(ClosedError):
            use()
    model.check()
    assert not is_in_use(release)


def test_a_model_that_is_dropped_ends_its_thread_and_its_hold(board):
    before = threading.active_count()
    model = open_current(board.root, check_interval_s=0.01)
    assert threading.active_count() == before + 1
    release = board.release
    del model
    gc.collect()
    wait_for(lambda: threading.active_count() == before and not is_in_use(release))
