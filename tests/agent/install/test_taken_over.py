"""A board that an older toolchain installed on is taken over without a word: its lock, its log, its modes."""

import json
import os

import pytest

from toolchain.agent import ownership
from toolchain.agent.errors import ExitCode
from toolchain.agent.install.audit import LOG_BYTES_MAX

is_alone_in_its_group = ownership._list_members(os.getegid()) <= ownership.list_owners()


def make_older(board):
    """Leave the board as an agent did that knew no chain, no private lock and no rotation."""
    lines = [{key: value for key, value in line.items() if key != "previous"} for line in board.log]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (board.root / "log.jsonl").write_text(text)
    (board.root / "lock").write_text("process 4242 of somebody@host\n")
    (board.root / "lock").chmod(0o644)
    return text


def test_a_board_of_the_version_before_is_taken_over(board, good):
    text = make_older(board)
    assert board.run("status").document["log_damage"] == []
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)
    assert (board.root / "log.jsonl").read_text().startswith(text)
    assert (board.root / "lock").stat().st_mode & 0o777 == 0o600
    assert board.rollback().code == ExitCode.PROVEN
    assert board.run("status").document["log_damage"] == []


def test_the_long_log_of_one_is_kept_and_gone_on_from(board, good):
    text = make_older(board)
    (board.root / "log.jsonl").write_text(text * (LOG_BYTES_MAX // len(text) + 1))
    size = (board.root / "log.jsonl").stat().st_size
    assert board.install(good["new"]).code == ExitCode.PROVEN
    assert (board.root / "log.1.jsonl").stat().st_size == size
    status = board.run("status").document
    assert (len(status["log_tail"]), status["log_damage"]) == (30, [])


@pytest.mark.skipif(not is_alone_in_its_group, reason="the group of whoever runs this has other members")
def test_one_of_an_account_whose_group_is_its_own_is_taken_over_with_its_umask(board, good):
    # umask 002, as Ubuntu and others have it: folders of 0775, a lock of 0664.
    make_older(board)
    for path in (board.root, board.root / "releases", board.root / "staging", board.root / "verdicts"):
        path.chmod(0o775)
    (board.root / "lock").chmod(0o664)
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


def test_an_older_agent_that_comes_between_two_newer_ones_breaks_nothing(board, good):
    older = {"time": "2026-09-01T00:00:00Z", "who": "test", "command": "check", "pid": 1, "state": "check"}
    with (board.root / "log.jsonl").open("a") as file:
        file.write(json.dumps({**older, "bundle_id": None, "verdict": "done"}) + "\n")
    assert board.install(good["new"]).code == ExitCode.PROVEN
    assert board.run("status").document["log_damage"] == []


def test_a_board_that_is_deployed_to_again_and_again_does_not_grow(board, quick, sign):
    bundles = [sign(quick(content=bytes([index]), counter=1_790_000_010)) for index in range(4)]

    def list_files():
        for bundle in bundles:
            assert board.install(bundle).code == ExitCode.PROVEN
        names = (path.relative_to(board.root).as_posix() for path in board.root.rglob("*"))
        return sorted(name for name in names if not name.startswith("log"))

    first = list_files()
    assert [list_files() for _ in range(2)] == [first, first]
