"""What a board says to each command, typed: read strictly, and refused where it contradicts itself or what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from toolchain.agent.clock import parse_utc
from toolchain.agent.decode import decode
from toolchain.agent.install.board_facts import BoardFacts
from toolchain.agent.install.trust import Active
from toolchain.agent.install.verdict import BuiltEngine
from toolchain.agent.manifest import Manifest
from toolchain.agent.measure.facts import Facts
from toolchain.agent.measure.judge import Judgement
from toolchain.deploy.transport import Measured
from toolchain.errors import ExitCode, ToolchainError, malformed

# What says of a payload that was proven which it is.
_SHIPPED = ("precision", "runtime", "threads", "pins_threads", "path", "sha256")
_SHOWN_MAX = 500  # characters of what makes no sense
_FIX = "look at the board: its agent, or something in its place, does not say what it did"


@dataclass(frozen=True)
class SaidVerdict:
    """What the board recorded as proven (agent/install/verdict.py, describe_verdict)."""

    model: str
    target: str
    precision: str
    runtime: str
    threads: int
    pins_threads: bool
    payload: str
    sha256: str
    engine: BuiltEngine | None
    time: str
    signer: str | None
    environment: Mapping[str, object]


@dataclass(frozen=True)
class SaidState:
    """Which releases the board has (agent/install/status.py, describe_state)."""

    current: str | None
    previous: str | None
    counter: int
    active: Active | None
    releases: tuple[str, ...]


@dataclass(frozen=True)
class SaidInstall:
    """The answer to `install` and `rollback`."""

    exit_code: int
    bundle_id: str
    signer: str | None
    measurements: Mapping[str, object]
    samples_ms: Mapping[str, tuple[float, ...]]
    verdict: SaidVerdict | None
    replaced: str | None
    state: SaidState
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SaidCheck:
    """The answer to `check`."""

    exit_code: int
    bundle_id: str
    pinned: str | None
    manifest: str
    signed: bool
    folder: str
    signer: str | None
    measurements: Mapping[str, object]
    samples_ms: Mapping[str, tuple[float, ...]]
    verdict: SaidVerdict | None


@dataclass(frozen=True)
class SaidDamage:
    """An error that `status` tells, as ToolchainError.to_dict has it."""

    code: int
    what: str
    where: str | None
    expected: str | None
    found: str | None
    fix: str | None


@dataclass(frozen=True)
class SaidStatus:
    """The answer to `status`."""

    exit_code: int
    current: str | None
    previous: str | None
    counter: int
    active: Active | None
    releases: tuple[str, ...]
    verified: bool
    damage: SaidDamage | None
    verdict: SaidVerdict | None
    expired: bool
    reasons: tuple[str, ...]
    log_tail: tuple[Mapping[str, object], ...]
    log_damage: tuple[str, ...]


@dataclass(frozen=True)
class SaidSigners:
    """The answer to `enroll`."""

    signers: tuple[str, ...]
    replaced: tuple[str, ...]


def read_install(document: Mapping[str, Any]) -> SaidInstall:
    """Return the answer to `install` or `rollback`; raises ToolchainError: exit 23 it cannot be read, 20 it contradicts itself."""
    said: SaidInstall = _decode(SaidInstall, document, "install")
    state = said.state
    if said.exit_code == ExitCode.PROVEN and state.current != said.bundle_id:
        raise contradict("current", f"the release that was proven, {said.bundle_id}", str(state.current))
    _check_state(state)
    is_settled = said.exit_code == ExitCode.PROVEN and not said.notes
    if is_settled and state.active is None:
        raise contradict("active", "the payload that was proven", "none")
    _check_verdict(said.verdict, state.active if is_settled else None)
    if said.verdict is not None and said.verdict.signer != said.signer:
        raise contradict("signer", str(said.verdict.signer), str(said.signer))
    return said


def read_rollback(document: Mapping[str, Any]) -> SaidInstall:
    """Return the answer to `rollback`; raises as read_install.

    The manifest of the release is not here, so its measurements are not judged again: they must be of this release, have
    passed, and be of the payload that was recorded.
    """
    said = read_install(document)
    record, shipped = said.measurements.get("record"), said.measurements.get("shipped")
    found = {
        "exit_code": said.exit_code,
        "measured": said.measurements.get("exit_code"),
        "bundle_id": record.get("bundle_id")
        if isinstance(record, Mapping)
        else said.bundle_id,  # older agents had none
        "shipped": tuple(map(shipped.get, _SHIPPED)) if isinstance(shipped, Mapping) else shipped,
    }
    expected = {
        "exit_code": int(ExitCode.PROVEN),
        "measured": int(ExitCode.PROVEN),
        "bundle_id": said.bundle_id,
        "shipped": None if said.verdict is None else _read_shipped(said.verdict),
    }
    if found != expected or said.verdict is None or said.replaced == said.bundle_id:
        raise contradict("rollback", str(expected), f"{found}, in place of {said.replaced}")
    return said


def read_check(document: Mapping[str, Any]) -> SaidCheck:
    """Return the answer to `check`; raises as read_install."""
    said: SaidCheck = _decode(SaidCheck, document, "check")
    _check_verdict(said.verdict, None)
    if said.verdict is not None and said.verdict.signer != said.signer:
        raise contradict("signer", str(said.verdict.signer), str(said.signer))
    if said.signer is not None and not said.signed:
        raise contradict("signer", "none, of what is not signed", said.signer)
    return said


def _check_state(state: SaidState | SaidStatus) -> None:
    """Refuse (exit 20) links to releases that are not there, and a counter below 0."""
    for name in ("current", "previous"):
        link = getattr(state, name)
        if link is not None and link not in state.releases:
            raise contradict(name, f"one of the releases {', '.join(state.releases) or 'none'}", link)
    if state.counter < 0 or len(set(state.releases)) != len(state.releases):
        found = f"counter {state.counter}, releases {', '.join(state.releases)}"
        raise contradict("state", "a counter of 0 or more, every release once", found)


def _check_verdict(verdict: SaidVerdict | None, active: Active | None) -> None:
    """Refuse (exit 20) a verdict of no time, and one of another payload than what is said to be active."""
    if verdict is None:
        return
    try:
        parse_utc(verdict.time)
    except ValueError as error:
        raise contradict("verdict.time", "a time, such as 2027-01-31T00:00:00Z", verdict.time) from error
    own = (verdict.model, *_read_shipped(verdict))
    if active is not None and own != (active.model, *_read_shipped(active)):
        raise contradict("active", str(own), str(active))


def _read_shipped(said: SaidVerdict | Active) -> tuple[str, str, int, bool, str, str]:
    """Return what was proven, in the order of _SHIPPED."""
    return (said.precision, said.runtime, said.threads, said.pins_threads, said.payload, said.sha256)


def read_measured(said: SaidInstall | SaidCheck) -> Measured:
    """Return what was measured; raises ToolchainError (exit 20) where that did not end as the command did."""
    inner, verdict = said.measurements.get("exit_code"), said.verdict
    if inner != said.exit_code:
        raise contradict("exit_code", str(inner), str(said.exit_code))
    return Measured(
        document=said.measurements,
        samples_ms=said.samples_ms,
        bundle_id=said.bundle_id,
        recorded=None if verdict is None else (verdict.model, verdict.target, *_read_shipped(verdict)),
        environment={} if verdict is None else verdict.environment,
        signer=said.signer,
        notes=said.notes if isinstance(said, SaidInstall) else (),
    )


def read_status(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer to `status`, as it came; raises as read_install."""
    said: SaidStatus = _decode(SaidStatus, document, "status")
    code = ExitCode.EXPIRED if said.reasons else ExitCode.PROVEN
    expected = {
        "exit_code": int(code) if said.damage is None else said.damage.code,
        "expired": bool(said.reasons),
        "verified": said.current is not None and said.damage is None,
    }
    found = {name: document[name] for name in expected}
    if found != expected or (said.damage is not None and said.damage.code == ExitCode.PROVEN):
        raise contradict("status", str(expected), str(found))
    if said.verdict is None and said.verified and not said.expired:
        raise contradict("verdict", "a verdict of the active release", "none")
    _check_state(said)
    _check_verdict(said.verdict, said.active if said.verified else None)
    return document


def read_facts(document: Mapping[str, Any], runtime: str | None = None) -> tuple[Facts, BoardFacts]:
    """Return the answer to `facts`, of this runtime; raises ToolchainError: exit 23 it cannot be read, 20 it cannot be."""
    facts: Facts = _decode(Facts, {name: value for name, value in document.items() if name != "board"}, "facts")
    if runtime is not None and facts.runtime != runtime:
        raise contradict("runtime", runtime, facts.runtime)
    return facts, read_board_facts(document)


def read_board_facts(document: Mapping[str, Any]) -> BoardFacts:
    """Return what the answer to `facts` has of a board whose runtime is missing too; raises as read_facts."""
    board: BoardFacts = _decode(BoardFacts, document.get("board"), "board")
    numbers = (board.disk_free_bytes, board.inodes_free, board.memory_bytes, board.memory_available_bytes)
    if any(number is not None and number < 0 for number in numbers):
        raise contradict("board", "numbers of 0 or more", str(numbers))
    try:
        parse_utc(board.time)
    except ValueError as error:
        raise contradict("board.time", "a time, such as 2027-01-31T00:00:00Z", board.time) from error
    return board


def check_same_board(before: Facts | None, after: Facts) -> None:
    """Refuse (exit 20) a board that measured as another one than it said to be; what may change meanwhile is not looked at."""
    if before is None:
        return
    for name, value in asdict(replace(before, details={})).items():
        found = getattr(after, name)
        if name != "details" and found != value:
            raise contradict(f"device: {name}", str(value), str(found))


def read_signers(document: Mapping[str, Any], sent: list[str]) -> dict[str, Any]:
    """Return the answer to `enroll`; raises ToolchainError (exit 20) for a board that trusts others than those sent."""
    said: SaidSigners = _decode(SaidSigners, document, "enroll")
    if list(said.signers) != sent:
        raise contradict("signers", ", ".join(sent), ", ".join(said.signers) or "none")
    return {"signers": list(said.signers), "replaced": list(said.replaced)}


def check_recorded(measured: Measured, judgement: Judgement, manifest: Manifest, bundle_id: str) -> None:
    """Refuse a board that proved one thing and recorded another: exit 11 another bundle, 20 another payload or runtime."""
    if measured.bundle_id not in (None, bundle_id):
        what = "the board answers for another bundle than the one that was sent"
        raise ToolchainError(
            ExitCode.CONTENT, what, where="bundle_id", expected=bundle_id, found=measured.bundle_id, fix=_FIX
        )
    if measured.bundle_id is None:  # of this machine, which records nothing
        return
    shipped, model = judgement.shipped, (manifest.model, manifest.target)
    own = None if shipped is None else (*model, *(getattr(shipped, name) for name in _SHIPPED))
    if measured.recorded != own:
        raise contradict("verdict", str(own), str(measured.recorded))
    if shipped is None:
        return
    record = measured.document.get("record")
    environments = record.get("environments") if isinstance(record, Mapping) else None
    told = environments.get(shipped.runtime) if isinstance(environments, Mapping) else None
    for name, value in (told if isinstance(told, Mapping) else {}).items():
        if measured.environment.get(name, value) != value:
            raise contradict(f"verdict.environment: {name}", str(value), str(measured.environment[name]))


def contradict(where: str, expected: str, found: str) -> ToolchainError:
    """Return the error for an answer of which one part says another thing than the other (exit 20)."""
    return ToolchainError(
        ExitCode.INVALID,
        "the board contradicts itself",
        where=where[:_SHOWN_MAX],
        expected=expected[:_SHOWN_MAX],
        found=found[:_SHOWN_MAX],
        fix=_FIX,
    )


def _decode(kind: Any, document: object, where: str) -> Any:
    try:
        return decode(kind, document, where)
    except ToolchainError as error:
        what = "what the board answered cannot be read"
        raise malformed(what, where=error.where, expected=error.expected, found=error.found, fix=_FIX) from error
