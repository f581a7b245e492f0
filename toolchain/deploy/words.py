"""What a board says to each command, typed: read strictly, and refused where it contradicts itself or what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolchain.agent.decode import decode
from toolchain.agent.install.board_facts import BoardFacts
from toolchain.agent.install.trust import Active
from toolchain.agent.install.verdict import BuiltEngine
from toolchain.agent.measure.facts import Facts
from toolchain.agent.measure.judge import Judgement
from toolchain.deploy.transport import Measured
from toolchain.errors import ExitCode, ToolchainError, malformed

_FIX = "look at the board: its agent, or something in its place, does not say what it did"


@dataclass(frozen=True)
class SaidVerdict:
    """What the board recorded as proven (agent/install/verdict.py, describe_verdict)."""

    model: str
    target: str
    precision: str
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


@dataclass(frozen=True)
class SaidSigners:
    """The answer to `enroll`."""

    signers: tuple[str, ...]
    replaced: tuple[str, ...]


def read_install(document: Mapping[str, Any]) -> SaidInstall:
    """Return the answer to `install` or `rollback`; raises ToolchainError: exit 23 it cannot be read, 20 it contradicts itself."""
    said: SaidInstall = _decode(SaidInstall, document, "install")
    if said.exit_code == ExitCode.PROVEN and said.state.current != said.bundle_id:
        raise contradict("current", f"the release that was proven, {said.bundle_id}", str(said.state.current))
    return said


def read_check(document: Mapping[str, Any]) -> SaidCheck:
    """Return the answer to `check`; raises as read_install."""
    said: SaidCheck = _decode(SaidCheck, document, "check")
    return said


def read_measured(said: SaidInstall | SaidCheck) -> Measured:
    """Return what was measured; raises ToolchainError (exit 20) where that did not end as the command did."""
    inner = said.measurements.get("exit_code")
    if inner != said.exit_code:
        raise contradict("exit_code", str(inner), str(said.exit_code))
    return Measured(
        document=said.measurements,
        samples_ms=said.samples_ms,
        bundle_id=said.bundle_id,
        recorded=None if said.verdict is None else (said.verdict.precision, said.verdict.payload, said.verdict.sha256),
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
    return document


def read_facts(document: Mapping[str, Any]) -> tuple[Facts, BoardFacts]:
    """Return the answer to `facts`; raises ToolchainError (exit 23)."""
    facts: Facts = _decode(Facts, {name: value for name, value in document.items() if name != "board"}, "facts")
    return facts, read_board_facts(document)


def read_board_facts(document: Mapping[str, Any]) -> BoardFacts:
    """Return what the answer to `facts` has of a board whose runtime is missing too; raises ToolchainError (exit 23)."""
    board: BoardFacts = _decode(BoardFacts, document.get("board"), "board")
    return board


def read_signers(document: Mapping[str, Any], sent: list[str]) -> dict[str, Any]:
    """Return the answer to `enroll`; raises ToolchainError (exit 20) for a board that trusts others than those sent."""
    said: SaidSigners = _decode(SaidSigners, document, "enroll")
    if list(said.signers) != sent:
        raise contradict("signers", ", ".join(sent), ", ".join(said.signers) or "none")
    return {"signers": list(said.signers), "replaced": list(said.replaced)}


def check_recorded(measured: Measured, judgement: Judgement, bundle_id: str) -> None:
    """Refuse a board that proved one thing and recorded another: exit 11 another bundle, 20 another payload."""
    if measured.bundle_id not in (None, bundle_id):
        what = "the board answers for another bundle than the one that was sent"
        raise ToolchainError(
            ExitCode.CONTENT, what, where="bundle_id", expected=bundle_id, found=measured.bundle_id, fix=_FIX
        )
    if measured.bundle_id is None:  # of this machine, which records nothing
        return
    shipped = judgement.shipped
    own = None if shipped is None else (shipped.precision, shipped.path, shipped.sha256)
    if measured.recorded != own:
        raise contradict("verdict", str(own), str(measured.recorded))


def contradict(where: str, expected: str, found: str) -> ToolchainError:
    """Return the error for an answer of which one part says another thing than the other (exit 20)."""
    return ToolchainError(
        ExitCode.INVALID, "the board contradicts itself", where=where, expected=expected, found=found, fix=_FIX
    )


def _decode(kind: Any, document: object, where: str) -> Any:
    try:
        return decode(kind, document, where)
    except ToolchainError as error:
        what = "what the board answered cannot be read"
        raise malformed(what, where=error.where, expected=error.expected, found=error.found, fix=_FIX) from error
