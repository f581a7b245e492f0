"""What is read of the audit trail, and what is said of a line that is damaged, changed, removed or added."""

import json
import os

import pytest

from toolchain.agent.errors import ExitCode
from toolchain.agent.install import audit
from toolchain.agent.install.audit import AuditLog
from toolchain.agent.install.folder import Folder
from toolchain.agent.install.trail import read_trail


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return a ROOT with nine lines in three logs."""
    monkeypatch.setattr(audit, "LOG_BYTES_MAX", 600)
    for number in range(9):
        log = AuditLog(Folder(tmp_path), command="install", who="test")
        log.write("prune", "done", None, number=number)
        log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.1.jsonl", "log.2.jsonl", "log.jsonl"]
    return tmp_path


def read_numbers(root, count=20):
    return [line["number"] for line in read_trail(Folder(root), count).lines]


def change(path, edit):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(edit(lines)))


def test_the_last_lines_are_read_through_the_logs(root):
    assert read_numbers(root) == list(range(9))
    assert read_numbers(root, 4) == [5, 6, 7, 8]
    assert read_trail(Folder(root), 4).damage == []


def test_the_tail_of_a_long_log_of_an_older_agent_is_its_last_lines(tmp_path):
    lines = [json.dumps({"n": n, "x": "y" * 300}) + "\n" for n in range(20_000)]
    (tmp_path / "log.jsonl").write_text("".join(lines) + "{")
    trail = read_trail(Folder(tmp_path), 3)
    assert ([line["n"] for line in trail.lines], trail.damage) == ([19_997, 19_998, 19_999], [])


def test_a_board_without_a_log_has_none(tmp_path):
    assert read_trail(Folder(tmp_path / "nowhere"), 3).lines == read_trail(Folder(tmp_path), 3).lines == []


@pytest.mark.parametrize("name", ["log.1.jsonl", "log.2.jsonl", "log.jsonl"])
@pytest.mark.parametrize(
    "edit",
    [
        lambda lines: [lines[0].replace(b'"test"', b'"best"'), *lines[1:]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
        lambda lines: [lines[0], b'{"state": "added"}\n', *lines[1:]],
    ],
    ids=["changed", "removed", "exchanged", "twice", "added"],
)
def test_a_line_that_is_not_as_it_was_written_is_told(root, name, edit):
    change(root / name, edit)
    assert "the line before it is not the one that it was written after" in read_trail(Folder(root), 9).damage[0]


def test_a_log_that_is_missing_is_told_and_the_oldest_may_be(root):
    (root / "log.1.jsonl").unlink()
    assert read_trail(Folder(root), 9).damage == []
    (root / "log.1.jsonl").write_bytes((root / "log.2.jsonl").read_bytes())
    (root / "log.2.jsonl").unlink()
    (root / "log.1.jsonl").write_bytes(b"".join((root / "log.1.jsonl").read_bytes().splitlines(keepends=True)[:-1]))
    assert len(read_trail(Folder(root), 9).damage) == 1


@pytest.mark.parametrize(
    "line", [b"\0" * 300, b"[]", b"7", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 100_000, b"\xff", b""]
)
def test_a_line_that_cannot_be_read_is_told_and_the_others_are_read(root, line):
    start = len((root / "log.2.jsonl").read_bytes())
    with (root / "log.2.jsonl").open("ab") as file:
        file.write(line + b"\n")
    trail = read_trail(Folder(root), 20)
    assert len(trail.lines) == 9
    assert trail.damage[0] == f"log.2.jsonl, byte {start}: no JSON object"


def test_much_damage_is_told_in_few_words(root):
    (root / "log.jsonl").write_bytes(b"x\n" * 100_000)
    assert read_trail(Folder(root), 9).damage[5:] == ["and 99995 more"]


@pytest.mark.parametrize("name", ["log.1.jsonl", "log.jsonl"])
def test_a_link_or_fifo_in_its_place_is_told_and_not_waited_for(root, name):
    (root / name).unlink()
    os.mkfifo(root / name)
    assert f"{name}: a FIFO" in read_trail(Folder(root), 9).damage


def test_status_tells_the_damage_and_holds_the_verdict_all_the_same(board):
    with (board.root / "log.jsonl").open("ab") as file:
        file.write(b"\0\0\0\n")
    answer = board.run("status")
    assert (answer.code, answer.document["verified"]) == (ExitCode.PROVEN, True)
    assert "no JSON object" in answer.document["log_damage"][0]
