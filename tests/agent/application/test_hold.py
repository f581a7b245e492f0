import fcntl
import os

import pytest

from toolchain.agent.application import hold
from toolchain.agent.application.hold import hold_active
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.in_use import is_in_use
from toolchain.agent.install.slots import Slots


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(hold, "_ATTEMPTS", 3)


def test_a_release_is_in_use_from_the_hold_to_its_end(board):
    bundle_id, held = hold_active(Slots(board.root))
    assert (bundle_id, is_in_use(board.release)) == (board.current, True)
    held.close()
    held.close()
    assert not is_in_use(board.release)


def test_a_hold_that_is_forgotten_ends(board):
    hold_active(Slots(board.root))
    assert not is_in_use(board.release)


def test_an_exclusive_lock_of_somebody_is_waited_for_and_then_told(board):
    descriptor = os.open(board.release, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(ToolchainError) as caught:
        hold_active(Slots(board.root))
    assert caught.value.code == ExitCode.BUSY
    os.close(descriptor)
    hold_active(Slots(board.root))[1].close()


def test_a_release_that_was_removed_before_it_was_held_gives_way_to_the_one_that_is_active(board, bundles, monkeypatch):
    switched = []

    def lock(descriptor, how):
        if not switched:  # between the look at `current` and the lock a deploy went by
            switched.append(board.current)
            board.switch(bundles[0].id)
            (board.root / "releases" / switched[0]).rename(board.root / "removed")
        fcntl.flock(descriptor, how)

    monkeypatch.setattr(hold, "fcntl", type("Locks", (), {**vars(fcntl), "flock": staticmethod(lock)}))
    bundle_id, held = hold_active(Slots(board.root))
    held.close()
    assert bundle_id == bundles[0].id
