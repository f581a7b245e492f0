"""The state machine of a board: how a release becomes the active one, and what happens when anything goes wrong.

The rename of the link `current` in the state `activate` decides. Whatever fails before it leaves the old release
active; whatever fails after it leaves the new one active, and the rest is settled at once or by the next run.
What a state does is in actions.py, how a board is brought back to old or new in settle.py.
"""

from __future__ import annotations

import contextlib
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..errors import ExitCode, ToolchainError, is_storage_error
from . import actions
from .actions import Deployment, OnProgress, Options
from .channel import Channel
from .settle import settle
from .slots import CURRENT, Slots
from .status import describe_state
from .took import describe_took
from .verdict import describe_verdict
from .watchdog import TimeUpError, Watchdog


@dataclass(frozen=True)
class State:
    """One state: its entry, its time limit, what is left when it fails, and what the next run does after a kill in it."""

    enter: Callable[[Deployment], None]
    entry: str
    failure: str
    recovery: str
    limit_s: float

    @property
    def name(self) -> str:
        return self.enter.__name__


# A limit is for what makes no progress at all, and no slow disk is to meet it: in 900 s a poor SD card (20 MB/s) reads
# 18 GB. Where bytes come from the host, every byte starts the limit anew.
_LOCK = State(
    actions.lock,
    entry="folders are made, if nobody else could change them; flock(2) on ROOT/lock, the log is opened",
    failure="exit 17 or 14; nothing was touched",
    recovery="none: the kernel frees the lock of a process that is gone",
    limit_s=10.0,
)
_RECOVER = State(
    actions.recover,
    entry="what an earlier run left is settled to old or new",
    failure="exit 14 or 23; nothing else was touched",
    recovery="settled again",
    limit_s=300.0,
)
_AUTHENTICATE = State(
    actions.authenticate,
    entry="manifest and signature come; the signature is verified over the raw bytes",
    failure="exit 10, 12, 15 or 23; nothing was parsed",
    recovery="none needed",
    limit_s=60.0,
)
_ACCEPT = State(
    actions.accept,
    entry="the manifest is parsed; expiry, counter, board and free space are checked",
    failure="exit 10, 12, 13, 14 or 23; what was staged of this bundle goes",
    recovery="staging stays",
    limit_s=900.0,
)
_RECEIVE = State(
    actions.receive,
    entry="files that other releases have are taken by hash, the others come from the host",
    failure="exit 15: staging stays, to go on with; exit 14: it goes",
    recovery="staging stays, to go on with",
    limit_s=60.0,
)
_VERIFY = State(
    actions.verify,
    entry="every file is compared with the manifest, nothing is extra, all is written to the disk; the folder is held open",
    failure="exit 11; what was staged goes",
    recovery="staging stays",
    limit_s=900.0,
)
_PLACE = State(
    actions.place,
    entry="staging/ID.partial is renamed to releases/ID",
    failure="what was staged or placed goes",
    recovery="back to staging",
    limit_s=60.0,
)
_SELF_TEST = State(
    actions.self_test,
    entry="the release's own agent proves it in a fresh process",
    failure="exit 18, 19, 20 or 24, or 21 for a crash or a hang; the release goes",
    recovery="back to staging",
    limit_s=3600.0,  # three engines of at most 900 s each (BUILD_LIMIT_S_MAX), and the measurement
)
_ACTIVATE = State(
    actions.activate,
    entry="every file is compared once more, verdict and link are written, then `current` is switched by rename",
    failure="exit 11, 14 or 21, and the release goes; none after the rename",
    recovery="before the rename back to staging, after it as `record`",
    limit_s=900.0,
)
_RECORD = State(
    actions.record,
    entry="`previous` and state.json follow `current`",
    failure="none: the new release is active, and the next run settles the rest",
    recovery="done by `recover`",
    limit_s=300.0,
)
_PRUNE = State(
    actions.prune,
    entry="the oldest releases beyond the count are removed, but not current, previous and those in use; and their engines",
    failure="none: the new release is active",
    recovery="done by the next deploy",
    limit_s=300.0,
)
_CHOOSE = State(
    actions.choose,
    entry="the release to go back to is `previous`",
    failure="exit 2 where there is none",
    recovery="none needed",
    limit_s=10.0,
)

INSTALL: Sequence[State] = (
    *(_LOCK, _RECOVER, _AUTHENTICATE, _ACCEPT, _RECEIVE, _VERIFY),
    *(_PLACE, _SELF_TEST, _ACTIVATE, _RECORD, _PRUNE),
)
ROLLBACK: Sequence[State] = (_LOCK, _RECOVER, _CHOOSE, _VERIFY, _SELF_TEST, _ACTIVATE, _RECORD)
COMMANDS = {"install": INSTALL, "rollback": ROLLBACK}
STATES = {state.name: state for states in COMMANDS.values() for state in states}
# States before these leave nothing to settle; a `recover` that failed is done again by the next run.
_NOTHING_TO_SETTLE = (_LOCK, _RECOVER)
_WAIT_FOR_HOST = (_AUTHENTICATE, _RECEIVE)


def run_states(
    command: str,
    root: Path,
    options: Options,
    on_progress: OnProgress,
    *,
    limit_s: Optional[float] = None,
) -> Tuple[ExitCode, Dict[str, Any]]:
    """Run `install` or `rollback`; return the exit code and the JSON object for the host, whatever happens.

    limit_s replaces the time limit of every state, in seconds. Needs stdin and stdout to itself, and the main thread.
    """
    watchdog = Watchdog()
    with contextlib.ExitStack() as stack:
        run = Deployment(
            command=command,
            options=options,
            slots=Slots(root),
            channel=Channel(0, 1, on_bytes=watchdog.extend),
            on_progress=on_progress,
            extend_limit=watchdog.extend,
            stack=stack,
            self_test_limit_s=limit_s or _SELF_TEST.limit_s,
        )
        for state in COMMANDS[command]:
            try:
                with watchdog.watch(limit_s or state.limit_s):
                    pass_state(run, state)
            except Exception as error:  # noqa: BLE001 - whatever it is, the board is to be settled
                failure = _explain(error, state, limit_s or state.limit_s)
                with watchdog.watch(limit_s or _RECOVER.limit_s):
                    return _fail(run, state, failure)
        return ExitCode.PROVEN, _describe(run, [])


def pass_state(run: Deployment, state: State) -> None:
    """Go through one state, and note it in the log."""
    state.enter(run)
    if run.log is not None:
        # What became active is told where it did: the payload too, of which a bundle may have several.
        details = {} if state is not _ACTIVATE or run.verdict is None else {"proven": describe_verdict(run.verdict)}
        if details and run.result is not None and run.manifest is not None and run.verdict is not None:
            details["took"] = describe_took(run.result.measurements, run.manifest, run.verdict)
        run.log.write(state.name, "done", run.bundle_id, **details)


def _explain(error: Exception, state: State, limit_s: float) -> ToolchainError:
    if isinstance(error, ToolchainError):
        return error
    if isinstance(error, TimeUpError) and state in _WAIT_FOR_HOST:
        what, fix = f"nothing came from the host for {limit_s:g} s", "deploy again: the upload goes on where it stopped"
        return ToolchainError(ExitCode.CONNECTION_LOST, what, fix=fix)
    if isinstance(error, TimeUpError):
        fix = "look at the board's load and disk; --limit-s gives a slow board more time"
        return ToolchainError(ExitCode.ROLLED_BACK, f"{state.name} took longer than {limit_s:g} s", fix=fix)
    if isinstance(error, ConnectionError):
        return ToolchainError(
            ExitCode.CONNECTION_LOST,
            "the host is gone",
            found=str(error),
            fix="check the network, and deploy again",
        )
    if isinstance(error, OSError) and is_storage_error(error):
        fix = "free some space there, or make it writable"
        where = None if error.filename is None else str(error.filename)
        return ToolchainError(ExitCode.STORAGE, f"{error.strerror} ({state.name})", where=where, fix=fix)
    _tell(error)
    what = f"{state.name} failed: {type(error).__name__}: {error}"
    return ToolchainError(
        ExitCode.ROLLED_BACK, what, fix="deploy again; if it comes back, report it with the board's log"
    )


def _fail(run: Deployment, state: State, failure: ToolchainError) -> Tuple[ExitCode, Dict[str, Any]]:
    """Settle the board after a failure; return what the host is told: the failure, unless the new release is active."""
    is_active = False
    if state not in _NOTHING_TO_SETTLE:
        is_resumable = failure.code == ExitCode.CONNECTION_LOST
        try:
            is_active = _is_active(run)
            run.trust = settle(run.slots, discard=None if is_resumable else run.bundle_id)
        except Exception as error:  # noqa: BLE001 - as above
            _tell(error)
            failure = _explain_unsettled(failure, error)
    if is_active:
        _write_log_if_possible(run, state, "unsettled", failure)
        return ExitCode.PROVEN, _describe(run, [f"{state.name}, after the switch: {failure.what}"])
    if state in (_VERIFY, _SELF_TEST) and run.command == "rollback":
        what, fix = f"the previous release does not pass: {failure.what}", "deploy a good bundle"
        where, expected, found = failure.where, failure.expected, failure.found
        failure = ToolchainError(ExitCode.ROLLBACK_FAILED, what, where=where, expected=expected, found=found, fix=fix)
    _write_log_if_possible(run, state, "failed", failure)
    if run.result is not None and run.result.exit_code == failure.code:
        return failure.code, _describe(run, [])
    return failure.code, {"error": failure.to_dict()}


def _tell(error: Exception) -> None:
    with contextlib.suppress(OSError):  # a host that is gone does not read it
        traceback.print_exception(type(error), error, error.__traceback__)


def _is_active(run: Deployment) -> bool:
    # An alarm may strike between the rename and the note of it: then the link itself says what happened.
    if run.is_switched or run.bundle_id is None:
        return run.is_switched
    return run.trust.current != run.bundle_id == run.slots.read_link(CURRENT)


def _explain_unsettled(failure: ToolchainError, error: Exception) -> ToolchainError:
    what = f"{failure.what}; and what that left could not be removed: {type(error).__name__}: {error}"
    fix = "the old release is active; the next deploy removes the rest first, once the board's disk lets it"
    return ToolchainError(
        ExitCode.ROLLBACK_FAILED, what, where=failure.where, expected=failure.expected, found=failure.found, fix=fix
    )


def _write_log_if_possible(run: Deployment, state: State, verdict: str, failure: ToolchainError) -> None:
    # What went wrong already is told to the host; a full disk must not hide it.
    if run.log is not None:
        try:
            run.log.write(state.name, verdict, run.bundle_id, code=int(failure.code), what=failure.what)
        except OSError as error:
            _tell(error)


def _describe(run: Deployment, notes: List[str]) -> Dict[str, Any]:
    result = run.result
    return {
        "exit_code": int(ExitCode.PROVEN if result is None else result.exit_code),
        "bundle_id": run.bundle_id,
        "signer": run.signer,
        "measurements": None if result is None else result.measurements,
        "samples_ms": {} if result is None else result.samples_ms,
        "verdict": None if run.verdict is None else describe_verdict(run.verdict),
        "replaced": run.replaced,
        "state": describe_state(run.slots, run.trust),
        "notes": notes,
    }
