"""The audit trail: what a command writes, what a power cut or a full disk leaves of it, and when a new log begins."""

import contextlib
import errno
import hashlib
import itertools
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.agent.install import audit
from toolchain.agent.install.audit import AuditLog, list_old_logs
from toolchain.agent.install.folder import Folder
from toolchain.agent.install.trail import read_trail


@pytest.fixture
def small_logs(monkeypatch):
    """Let a log be full after a few lines."""
    monkeypatch.setattr(audit, "LOG_BYTES_MAX", 600)


def append(root, count=1, who="test"):
    """Write so many lines, each by a command of its own."""
    for _ in range(count):
        log = AuditLog(Folder(root), command="install", who=who)
        log.write("prune", "done", None)
        log.close()


def read_kept(root):
    """Return every line that is kept, oldest first, as bytes; a log may not be begun yet."""
    paths = [root / name for name in (*list_old_logs(Folder(root)), "log.jsonl")]
    return [line for path in paths if path.exists() for line in path.read_bytes().splitlines(keepends=True)]


def read_all(root):
    """Return the same of a trail that a command has gone on with."""
    assert (root / "log.jsonl").exists()
    return read_kept(root)


def assert_chained(lines):
    for before, line in itertools.pairwise(lines):
        assert json.loads(line)["previous"] == hashlib.sha256(before).hexdigest()


@pytest.mark.parametrize("tail", [b"", b"{", b'{"time": "2026', b"\0" * 1000, b'{"a": 1}'])
def test_a_log_line_that_was_half_written_is_dropped_when_the_log_is_opened(tmp_path, tail):
    (tmp_path / "log.jsonl").write_bytes(b'{"state": "first"}\n' + tail)
    log = AuditLog(Folder(tmp_path), command="install", who="test")
    log.write("second", "done", None)
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]
    assert [line["state"] for line in lines] == ["first", "second"]


def test_a_whole_log_is_not_changed_by_opening_it(tmp_path):
    data = b'{"state": "first"}\n'
    (tmp_path / "log.jsonl").write_bytes(data)
    AuditLog(Folder(tmp_path), command="install", who="test").close()
    assert (tmp_path / "log.jsonl").read_bytes() == data


@settings(max_examples=20)  # each writes to the disk
@given(who=st.text(), what=st.text())
def test_whatever_a_log_line_holds_it_is_one_line(tmp_path_factory, who, what):
    folder = tmp_path_factory.mktemp("log")
    log = AuditLog(Folder(folder), command="install", who=who)
    log.write("state", "failed", None, what=what)
    log.close()
    [line] = read_trail(Folder(folder), 10).lines
    assert (line["who"], line["what"]) == (who[:200], what)
    assert (folder / "log.jsonl").read_bytes().count(b"\n") == 1


def test_every_line_has_the_hash_of_the_one_before_and_the_first_has_none(tmp_path):
    append(tmp_path, 4)
    lines = read_all(tmp_path)
    assert json.loads(lines[0])["previous"] is None
    assert_chained(lines)


def test_a_log_of_an_older_agent_is_gone_on_with(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(b'{"state": "first"}\n')
    append(tmp_path, 2)
    assert_chained(read_all(tmp_path))
    assert read_trail(Folder(tmp_path), 9).damage == []


def test_a_log_that_has_grown_is_kept_under_a_number_and_the_next_goes_on_from_it(tmp_path, small_logs):
    append(tmp_path, 8)
    assert list_old_logs(Folder(tmp_path)) == ["log.1.jsonl", "log.2.jsonl"]
    assert len(read_all(tmp_path)) == 8
    assert_chained(read_all(tmp_path))
    trail = read_trail(Folder(tmp_path), 8)
    assert (len(trail.lines), trail.damage) == (8, [])


def test_a_log_that_has_not_grown_is_no_new_one(tmp_path):
    append(tmp_path, 8)
    assert list_old_logs(Folder(tmp_path)) == []


def test_what_is_kept_does_not_grow_and_goes_on_unbroken(tmp_path, small_logs):
    append(tmp_path, 40)
    first = {path.name for path in tmp_path.iterdir()}
    sizes = [sum(path.stat().st_size for path in tmp_path.iterdir())]
    for _ in range(5):
        append(tmp_path, 12)
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert len({path.name for path in tmp_path.iterdir()}) == len(first) == 4
    assert max(sizes) <= 4 * (600 + 300)
    assert_chained(read_all(tmp_path))
    assert read_trail(Folder(tmp_path), 3).damage == []


def test_the_log_of_a_board_that_was_never_rotated_becomes_the_first_of_them(tmp_path):
    line = json.dumps({"state": "prune", "verdict": "done"}).encode() + b"\n"
    (tmp_path / "log.jsonl").write_bytes(line * (audit.LOG_BYTES_MAX // len(line) + 1))
    size = (tmp_path / "log.jsonl").stat().st_size
    append(tmp_path)
    assert (tmp_path / "log.1.jsonl").stat().st_size == size
    assert json.loads((tmp_path / "log.jsonl").read_bytes())["previous"] == hashlib.sha256(line).hexdigest()
    assert read_trail(Folder(tmp_path), 3).damage == []


class Killed(BaseException):
    """What a kill does, but that this process goes on."""


def append_until_killed(root, call, monkeypatch):
    """Append a line, and be killed at a call of the system by number; return whether there are so many."""
    calls = []

    def count(function):
        def run(*arguments, **options):
            calls.append(function)
            if len(calls) == call:
                raise Killed
            return function(*arguments, **options)

        return run

    with monkeypatch.context() as patch:
        for name in ("open", "replace", "fsync", "unlink", "ftruncate", "write"):
            patch.setattr(os, name, count(getattr(os, name)))
        with contextlib.suppress(Killed):
            append(root)
    return len(calls) >= call


def test_a_kill_at_any_moment_of_a_rotation_loses_no_line(tmp_path, small_logs, monkeypatch):
    for call in itertools.count(1):
        root = tmp_path / str(call)
        root.mkdir()
        append(root, 4)
        before = read_all(root)
        is_killed = append_until_killed(root, call, monkeypatch)
        assert read_kept(root)[: len(before)] == before
        append(root)
        assert read_all(root)[: len(before)] == before
        assert_chained(read_all(root))
        assert read_trail(Folder(root), 9).damage == []
        if not is_killed:
            break
    assert call > 8


def test_a_disk_that_takes_no_new_name_goes_on_in_the_log_that_there_is(tmp_path, small_logs, monkeypatch):
    append(tmp_path, 4)

    def refuse(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        append(tmp_path)
    assert (len(read_all(tmp_path)), list_old_logs(Folder(tmp_path))) == (5, [])
    append(tmp_path)
    assert (len(read_all(tmp_path)), list_old_logs(Folder(tmp_path))) == (6, ["log.1.jsonl"])
    assert_chained(read_all(tmp_path))


def test_a_log_that_becomes_full_in_the_middle_of_a_line_keeps_none_of_it(tmp_path, monkeypatch):
    append(tmp_path, 2)
    before = (tmp_path / "log.jsonl").read_bytes()
    log = AuditLog(Folder(tmp_path), command="install", who="test")
    write = os.write

    def write_a_part(descriptor, data):
        if len(data) < 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:-50])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_a_part)
        with pytest.raises(OSError, match="space"):
            log.write("prune", "done", None)
    assert (tmp_path / "log.jsonl").read_bytes() == before
    log.write("prune", "done", None)
    log.close()
    assert_chained(read_all(tmp_path))


@pytest.mark.parametrize("length", [100, 70_000, 3_000_000])
def test_a_line_of_any_length_is_gone_on_from(tmp_path, length):
    log = AuditLog(Folder(tmp_path), command="enroll", who="test")
    log.write("enroll", "done", None, signers=["x" * length])
    log.close()
    append(tmp_path, 2)
    assert_chained(read_all(tmp_path))


def test_what_is_no_log_of_ours_is_neither_read_nor_removed(tmp_path, small_logs):
    names = ("log.jsonl.gz", "log.0.jsonl", "log.x.jsonl", "log.1.jsonl.bak")
    for name in names:
        (tmp_path / name).write_text("mine")
    append(tmp_path, 40)
    assert all((tmp_path / name).read_text() == "mine" for name in names)
