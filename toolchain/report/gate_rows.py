"""The gates of a report: the rows of the judge, and what the host knows beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from toolchain.agent.measure.gates import Row
from toolchain.agent.measure.judge import Judgement
from toolchain.report.shape import Gate, GateStatus, SignatureState

_VERDICT_STATUS: dict[str, GateStatus] = {"pass": "passed", "fail": "failed", "invalid": "invalid"}


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
