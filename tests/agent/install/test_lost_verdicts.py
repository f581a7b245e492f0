"""What is lost on a board, or turned back, is no proof; and a proof is not lost for what is lost beside it."""

import json
import os
import shutil

import pytest

from tests.agent.quick_bundle import describe_candidate
from toolchain.agent.clock import format_utc, parse_utc
from toolchain.agent.errors import ExitCode

TWO = {
    "candidates": [
        describe_candidate("int8"),
        describe_candidate("float32"),
    ],
    "extra": {"payload/float32/model.onnx": b"float weights"},
}


def find_verdict(board, bundle_id):
    return board.root / "verdicts" / f"{bundle_id}.json"


def turn_clock(board, folder, time_s):
    """Let the board's Python believe that it is another time."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(f"import time\ntime.time = lambda: {time_s}\n")
    path = board.environment["PYTHONPATH"]
    board.environment = {**board.environment, "PYTHONPATH": os.pathsep.join([str(folder), path])}


@pytest.mark.parametrize("gone", ["release", "link"])
def test_an_active_release_that_is_gone_is_not_a_board_on_which_nothing_is_active(board, good, gone):
    if gone == "release":
        shutil.rmtree(board.root / "releases" / good["old"].id)
    else:
        (board.root / "current").unlink()
    status = board.run("status")
    assert (status.code, status.document["verified"]) == (ExitCode.CONTENT, False)
    assert "gone" in status.document["damage"]["what"]
    assert board.install(good["new"]).code == ExitCode.PROVEN
    assert board.run("status").code == ExitCode.PROVEN


def test_a_clock_that_is_behind_the_verdict_cannot_tell_that_the_bundle_has_not_expired(board, quick, sign, tmp_path):
    bundle = sign(quick(counter=1_790_000_002, expires="2099-01-01T00:00:00Z"))
    assert board.install(bundle).code == ExitCode.PROVEN
    verdict = json.loads(find_verdict(board, bundle.id).read_text())
    given_s = parse_utc(verdict["time"])
    verdict["time"] = format_utc(given_s + 86400 * 365)  # as if it had been given in a year, and the clock turned back
    find_verdict(board, bundle.id).write_text(json.dumps(verdict))
    status = board.run("status")
    assert (status.code, status.document["expired"]) == (ExitCode.EXPIRED, True)
    assert "clock is too wrong" in status.document["reasons"][0]
    turn_clock(board, tmp_path / "clock", given_s + 86400 * 366)
    assert board.run("status").code == ExitCode.PROVEN


def test_the_active_release_is_proven_again_after_the_state_was_lost(board, good):
    (board.root / "state.json").unlink()
    find_verdict(board, good["old"].id).unlink()
    assert board.run("status").code == ExitCode.EXPIRED
    assert board.run("check").code == ExitCode.PROVEN
    assert board.run("status").code == ExitCode.PROVEN


def test_what_was_proven_stays_pinned_where_the_verdict_is_lost(board, quick, sign):
    extra = {**TWO["extra"], "agent/measure/arguments.py": b'add_argument("--pinned")'}
    body = "reasons = [' '.join(sys.argv[1:])]\nchoice = 1"
    bundle = sign(quick(body=body, counter=1_790_000_002, **{**TWO, "extra": extra}))
    assert board.install(bundle).document["verdict"]["precision"] == "float32"
    find_verdict(board, bundle.id).unlink()
    answer = board.run("check", "--pinned", "int8")  # a host that had another one proven, with the same bundle
    assert (answer.code, answer.document["pinned"]) == (ExitCode.PROVEN, "float32")
    assert "--pinned float32" in answer.document["measurements"]["reasons"][0]


@pytest.mark.parametrize("name", ["state.json", "verdict"])
def test_a_folder_in_place_of_a_record_is_malformed_and_no_traceback(board, good, name):
    path = find_verdict(board, good["old"].id) if name == "verdict" else board.root / name
    path.unlink()
    path.mkdir()
    status = board.run("status")
    assert (status.code, "Traceback" in status.stderr) == (ExitCode.MALFORMED, False)


@pytest.mark.parametrize("name", ["manifest.json", "payload/int8/model.onnx"])
def test_a_folder_in_place_of_a_file_of_the_release_is_no_proof(board, good, name):
    path = board.root / "releases" / good["old"].id / name
    path.unlink()
    path.mkdir()
    status = board.run("status")
    assert (status.code in (ExitCode.CONTENT, ExitCode.MALFORMED), "Traceback" in status.stderr) == (True, False)
