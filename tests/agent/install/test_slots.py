"""Locks, logs, links and what a killed run leaves, without a process around them."""

import fcntl
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.agent.clock import format_utc, is_plausible, parse_utc
from toolchain.agent.durable import write_file, write_link
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.audit import AuditLog, read_tail
from toolchain.agent.install.in_use import is_in_use
from toolchain.agent.install.lock import take_lock
from toolchain.agent.install.settle import settle
from toolchain.agent.install.slots import Slots


@pytest.mark.parametrize("tail", [b"", b"{", b'{"time": "2026', b"\0" * 1000, b'{"a": 1}'])
def test_a_log_line_that_was_half_written_is_dropped_when_the_log_is_opened(tmp_path, tail):
    (tmp_path / "log.jsonl").write_bytes(b'{"state": "first"}\n' + tail)
    log = AuditLog(tmp_path, command="install", who="test")
    log.write("second", "done", None)
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]
    assert [line["state"] for line in lines] == ["first", "second"]


def test_a_whole_log_is_not_changed_by_opening_it(tmp_path):
    data = b'{"state": "first"}\n'
    (tmp_path / "log.jsonl").write_bytes(data)
    AuditLog(tmp_path, command="install", who="test").close()
    assert (tmp_path / "log.jsonl").read_bytes() == data


@settings(max_examples=20)  # each writes to the disk
@given(who=st.text(), what=st.text())
def test_whatever_a_log_line_holds_it_is_one_line(tmp_path_factory, who, what):
    folder = tmp_path_factory.mktemp("log")
    log = AuditLog(folder, command="install", who=who)
    log.write("state", "failed", None, what=what)
    log.close()
    [line] = read_tail(folder, 10)
    assert (line["who"], line["what"]) == (who[:200], what)
    assert (folder / "log.jsonl").read_bytes().count(b"\n") == 1


def test_the_tail_of_a_long_log_is_its_last_lines(tmp_path):
    (tmp_path / "log.jsonl").write_text("".join(json.dumps({"n": n, "x": "y" * 300}) + "\n" for n in range(1000)) + "{")
    assert [line["n"] for line in read_tail(tmp_path, 3)] == [997, 998, 999]


def test_a_lock_is_taken_once_and_free_again_when_its_holder_is_gone(tmp_path):
    descriptor = take_lock(tmp_path, "first")
    with pytest.raises(ToolchainError) as caught:
        take_lock(tmp_path, "second")
    assert (caught.value.code, "first" in caught.value.found) == (ExitCode.BUSY, True)
    os.close(descriptor)
    os.close(take_lock(tmp_path, "third"))


def test_a_folder_is_in_use_while_a_process_holds_a_lock_on_it(tmp_path):
    assert not is_in_use(tmp_path)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    assert is_in_use(tmp_path)
    os.close(descriptor)
    assert not is_in_use(tmp_path)


def test_a_file_and_a_link_are_replaced_whole(tmp_path):
    for data in (b"first", b"second, longer"):
        write_file(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    (tmp_path / "link.new").symlink_to("left by a killed run")
    for target in ("a", "b"):
        write_link(tmp_path / "link", target)
        assert (tmp_path / "link").readlink().name == target
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


def test_settling_an_empty_board_changes_nothing(tmp_path):
    slots = Slots(tmp_path)
    slots.create_folders()
    settle(slots)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["releases", "staging", "verdicts"]


def test_settling_removes_what_nobody_will_go_on_with_and_keeps_uploads(tmp_path):
    slots = Slots(tmp_path)
    slots.create_folders()
    for name in ("a.removed", f"{'1' * 64}.partial", f"{'2' * 64}.partial"):
        (slots.staging / name / "folder").mkdir(parents=True)
    (slots.staging / "samples.json").touch()
    (tmp_path / "state.json.new").touch()
    settle(slots, discard="2" * 64)
    assert [path.name for path in slots.staging.iterdir()] == [f"{'1' * 64}.partial"]
    assert not (tmp_path / "state.json.new").exists()


def test_a_release_that_gave_way_comes_back_where_its_replacement_did_not_come(board, good):
    slots = Slots(board.root)
    slots.find_release(good["old"].id).rename(slots.staging / f"{good['old'].id}.replaced")
    settle(slots)
    board.assert_settled(good["old"].id, None)


def test_a_current_link_that_was_lost_is_found_in_the_state(board, good):
    (board.root / "current").unlink()
    settle(Slots(board.root))
    board.assert_settled(good["old"].id, None)


def test_a_previous_link_that_was_lost_is_found_in_the_state(board_with_both, good):
    (board_with_both.root / "previous").unlink()
    settle(Slots(board_with_both.root))
    board_with_both.assert_settled(good["new"].id, good["old"].id)


def test_settling_twice_is_settling_once(board_with_both):
    before = board_with_both.state_bytes, (board_with_both.root / "state.json").stat().st_mtime_ns
    settle(Slots(board_with_both.root))
    assert (board_with_both.state_bytes, (board_with_both.root / "state.json").stat().st_mtime_ns) == before


@given(st.integers(0, 253_402_300_799))
def test_a_time_survives_writing_and_reading(time_s):
    assert parse_utc(format_utc(time_s)) == time_s


def test_a_clock_of_1970_or_behind_a_known_time_is_not_plausible():
    assert not is_plausible(0, not_before_s=0)
    assert not is_plausible(1_790_000_000, not_before_s=1_790_000_001)
    assert is_plausible(1_790_000_000, not_before_s=1_790_000_000)
