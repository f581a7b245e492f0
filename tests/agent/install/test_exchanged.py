"""What was verified is what becomes active: a release that is exchanged on the way does not, whoever exchanges it."""

import contextlib
import shutil

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.actions import Deployment, activate
from toolchain.agent.install.slots import CURRENT, Slots
from toolchain.agent.install.trust import read_state

BETWEEN = ("place:exit", "self_test:entry", "self_test:exit", "activate:entry")


def put_link(release, aside):
    """Leave a link to the very folder that was verified: today it has the same bytes."""
    release.rename(aside)
    release.symlink_to(aside)


def put_copy(release, aside):
    release.rename(aside)
    shutil.copytree(aside, release, symlinks=True)


def put_nothing(release, aside):
    release.rename(aside)


def put_other_payload(release, aside):
    (release / "payload/int8/model.onnx").rename(aside)
    (release / "payload/int8/model.onnx").write_bytes(b"new weightz")


def put_linked_payload(release, aside):
    (release / "payload/int8/model.onnx").rename(aside)
    (release / "payload/int8/model.onnx").symlink_to(aside)


def put_linked_folder(release, aside):
    (release / "payload").rename(aside)
    (release / "payload").symlink_to(aside)


EXCHANGES = (put_link, put_copy, put_nothing, put_other_payload, put_linked_payload, put_linked_folder)


@pytest.mark.parametrize("place", BETWEEN)
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_release_that_is_exchanged_on_the_way_is_not_activated(board, good, tmp_path, exchange, place):
    release = board.root / "releases" / good["new"].id
    answer = board.install_with_change(good["new"], place, lambda: exchange(release, tmp_path / "aside"))
    assert answer.code == ExitCode.CONTENT, answer
    assert board.current == good["old"].id
    board.assert_settled(good["old"].id, None)
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


@pytest.mark.parametrize("place", BETWEEN)
def test_a_release_that_is_only_looked_at_on_the_way_is_activated(board, good, place):
    release = board.root / "releases" / good["new"].id
    answer = board.install_with_change(good["new"], place, lambda: list(release.rglob("*")))
    assert answer.code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


@pytest.mark.parametrize("exchange", [put_link, put_copy, put_other_payload])
def test_a_previous_release_that_is_exchanged_is_not_gone_back_to(board_with_both, good, tmp_path, exchange):
    board = board_with_both
    release = board.root / "releases" / good["old"].id
    answer = roll_back_with_change(board, "self_test:exit:stop", lambda: exchange(release, tmp_path / "aside"))
    assert answer.code == ExitCode.CONTENT, answer
    assert board.current == good["new"].id


def roll_back_with_change(board, place, change):
    """Run a `rollback`, and change something on the board while the agent is stopped at a place."""
    host = board.start_command("rollback", "--fault", place)
    board.wait_until_stopped(host)
    try:
        change()
    finally:
        host.resume()
        answer = host.finish()
    return answer


@pytest.mark.parametrize("exchange", [put_link, put_copy, put_nothing])
def test_one_that_is_exchanged_in_the_very_moment_of_the_switch_does_not_stay_active(
    board_with_both, good, tmp_path, exchange
):
    old, new = good["old"].id, good["new"].id

    class Exchanged(Slots):
        def switch(self, name, bundle_id):
            super().switch(name, bundle_id)
            if bundle_id == old:
                exchange(self.find_release(old), tmp_path / "aside")

    slots = Exchanged(board_with_both.root)
    with contextlib.ExitStack() as stack:
        run = Deployment(
            command="rollback",
            options=None,
            slots=slots,
            channel=None,
            on_progress=None,
            extend_limit=None,
            stack=stack,
            self_test_limit_s=1,
            trust=read_state(slots.folder),
            bundle_id=old,
            held=stack.enter_context(slots.hold_release(old)),
        )
        with pytest.raises(ToolchainError) as caught:
            activate(run)
    assert (caught.value.code, run.is_switched) == (ExitCode.CONTENT, False)
    assert slots.read_link(CURRENT) == new


def test_a_link_in_the_place_of_a_release_is_no_release(board_with_both, good, tmp_path):
    board = board_with_both
    put_link(board.root / "releases" / good["new"].id, tmp_path / "aside")
    assert Slots(board.root).read_link(CURRENT) is None
    assert board.run("status").code == ExitCode.CONTENT
    assert board.run("check", "--bundle", good["new"].id).code == ExitCode.USAGE


def test_a_link_in_the_place_of_the_active_release_gives_way_to_what_is_deployed(board_with_both, good, tmp_path):
    board = board_with_both
    put_link(board.root / "releases" / good["new"].id, tmp_path / "aside")
    assert board.install(good["new"]).code == ExitCode.PROVEN
    assert not (board.root / "releases" / good["new"].id).is_symlink()
    assert board.current == good["new"].id
    board.assert_release_is_whole(good["new"].id)
    assert (tmp_path / "aside/manifest.json").is_file()
