"""Every state, at its entry and its exit: killed, an error, a hang. The states come from the table itself."""

import signal
from pathlib import Path

import pytest

from tests.agent.faults import EDGES
from toolchain.agent.errors import ExitCode
from toolchain.agent.install.states import COMMANDS, INSTALL, ROLLBACK

KINDS = ("kill", "error", "hang")
WAIT_FOR_HOST = ("authenticate", "receive")


def list_faults(states):
    return [(state.name, edge, kind) for state in states for edge in EDGES for kind in KINDS]


def is_after_switch(states, state, edge):
    names = [item.name for item in states]
    return (names.index(state), edge == "exit") >= (names.index("activate"), True)


@pytest.mark.parametrize(("state", "edge", "kind"), list_faults(INSTALL))
def test_a_fault_in_a_state_leaves_old_or_new_and_the_same_command_succeeds(board, good, state, edge, kind):
    old, new = good["old"], good["new"]
    before = board.state_bytes
    answer = board.install(new, "--fault", f"{state}:{edge}:{kind}")
    is_switched = is_after_switch(INSTALL, state, edge)
    board.assert_invariant(new.id if is_switched else old.id)
    if kind == "kill":
        assert answer.code == -signal.SIGKILL
    elif is_switched:
        assert answer.code == ExitCode.PROVEN
        assert state in answer.document["notes"][0]
        board.assert_settled(new.id, old.id)
    else:
        is_lost = kind == "hang" and state in WAIT_FOR_HOST
        assert answer.code == (ExitCode.CONNECTION_LOST if is_lost else ExitCode.ROLLED_BACK), answer
        assert answer.error["code"] == answer.code
    if not is_switched:
        assert board.state_bytes == before
    again = board.install(new)
    assert again.code == ExitCode.PROVEN, again
    board.assert_settled(new.id, old.id)


@pytest.mark.parametrize(("state", "edge", "kind"), list_faults(ROLLBACK))
def test_a_fault_in_a_rollback_leaves_one_of_both_and_the_same_command_goes_back(
    board_with_both, good, state, edge, kind
):
    board, old, new = board_with_both, good["old"], good["new"]
    before = board.state_bytes
    answer = board.rollback("--fault", f"{state}:{edge}:{kind}")
    is_switched = is_after_switch(ROLLBACK, state, edge)
    board.assert_invariant(old.id if is_switched else new.id)
    if kind == "kill":
        assert answer.code == -signal.SIGKILL
    elif is_switched:
        assert answer.code == ExitCode.PROVEN
    else:
        failed = state in ("verify", "self_test")
        assert answer.code == (ExitCode.ROLLBACK_FAILED if failed else ExitCode.ROLLED_BACK), answer
    if not is_switched:
        assert board.state_bytes == before
        assert board.rollback().code == ExitCode.PROVEN
    else:
        assert board.install(old).code == ExitCode.PROVEN
    board.assert_settled(old.id, new.id)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_state_says_what_it_does_what_its_failure_leaves_and_how_it_recovers(command):
    for state in COMMANDS[command]:
        assert all([state.entry, state.failure, state.recovery])
        assert state.limit_s > 0


@pytest.mark.parametrize(
    "fault", ["", "lock", "lock:entry", "lock:between:kill", "lock:entry:sleep", "nowhere:exit:kill"]
)
def test_a_fault_that_could_never_strike_passes_no_test(board, good, fault):
    answer = board.install(good["new"], "--fault", fault)
    assert (answer.code, answer.document) == (1, None)
    assert "there is no fault" in answer.stderr
    board.assert_settled(good["old"].id, None)


def test_the_docs_have_every_state_in_order():
    text = (Path(__file__).parents[3] / "docs/boards.md").read_text()
    table = text.partition("| State |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert rows == [state.name for state in INSTALL]
