"""The gates of a report: the rows of the judge, and what the host knows beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from toolchain.agent.quantities import ABSENT
from toolchain.errors import ExitCode
from toolchain.report.shape import Gate, GateStatus, SignatureState

if TYPE_CHECKING:  # they need numpy, which may be what is missing where an error is reported
    from toolchain.agent.gates import Row
    from toolchain.agent.judge import Judgement

_VERDICT_STATUS: dict[str, GateStatus] = {"pass": "passed", "fail": "failed", "invalid": "invalid"}
# The gate that an error which stopped the run belongs to.
_GROUP_OF_ERROR = {
    ExitCode.SIGNATURE: "signature",
    ExitCode.CONTENT: "contents",
    ExitCode.PARITY: "parity",
    ExitCode.METRIC: "metric",
    ExitCode.LATENCY: "latency",
    ExitCode.INVALID: "measurement",
}


def list_gates(
    judgement: Judgement, rows: Sequence[Row], *, signature: SignatureState, signer: str | None, required: bool
) -> list[Gate]:
    """Return the gates in a fixed order: verdict, contents, signature, and the rows of the candidate that is described."""
    verdict = Gate(
        name="verdict",
        group="verdict",
        status=_VERDICT_STATUS[judgement.verdict],
        required="pass",
        measured=judgement.verdict,
        reason=None if judgement.verdict == "pass" else "; ".join(judgement.reasons),
    )
    # Whoever measured has compared every file first: without that there is no record.
    contents = Gate(
        name="contents",
        group="contents",
        status="passed",
        required="as in the manifest",
        measured="size and sha256 of every file",
        reason=None,
    )
    return [verdict, contents, _describe_signature(signature, signer, required=required), *map(_print_row, rows)]


def list_gates_of_error(code: ExitCode, what: str) -> list[Gate]:
    """Return the gates of a run that an error stopped: the verdict, and the gate that the error is about."""
    groups = ["verdict", _GROUP_OF_ERROR[code]] if code in _GROUP_OF_ERROR else ["verdict"]
    status: GateStatus = "invalid" if code is ExitCode.INVALID else "failed"
    return [
        Gate(name=group, group=group, status=status, required="pass", measured=ABSENT, reason=what) for group in groups
    ]


def _print_row(row: Row) -> Gate:
    return Gate(
        name=row.name,
        group=row.group,
        status=cast("GateStatus", row.status),
        required=row.required,
        measured=row.measured,
        reason=row.reason,
    )


def _describe_signature(signature: SignatureState, signer: str | None, *, required: bool) -> Gate:
    # A board refuses what it does not trust before it measures: here it is only said.
    verified = signature == "verified"
    return Gate(
        name="signature",
        group="signature",
        status="passed" if verified else "skipped",
        required="a trusted signature",
        measured=signature if signer is None else f"signed by {signer}",
        reason=None if verified else "not checked in this run" if required else "not asked for",
    )
