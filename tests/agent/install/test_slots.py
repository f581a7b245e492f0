"""Links, and what a killed run leaves, without a process around them."""

import fcntl
import os

from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.clock import format_utc, is_plausible, parse_utc
from toolchain.agent.durable import write_file
from toolchain.agent.install.folder import Folder
from toolchain.agent.install.in_use import is_in_use
from toolchain.agent.install.settle import settle
from toolchain.agent.install.slots import Slots


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
        Folder(tmp_path).write_link("link", target)
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
