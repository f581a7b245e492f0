"""The gates of a run, one by one, as the terminal, JUnit and HTML show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.errors import ExitCode
from toolchain.report.quantities import ABSENT, write_digits, write_ms, write_percent, write_points, write_sqnr
from toolchain.report.shape import Gate, GateStatus, Latency, Metric, Parity, Placement, SignatureState, Verdict

NO_GATE = "no limit is set"
# Metrics are fractions of counts: 0.925 - 0.920 must not exceed 0.005 by a rounding error.
METRIC_TOLERANCE = 1e-9
_VERDICT_STATUS: dict[Verdict, GateStatus] = {"pass": "passed", "fail": "failed", "invalid": "invalid"}
# The gate that an error which stopped the run belongs to.
_GROUP_OF_ERROR = {
    ExitCode.SIGNATURE: "signature",
    ExitCode.CONTENT: "contents",
    ExitCode.PARITY: "parity",
    ExitCode.METRIC: "metric",
    ExitCode.LATENCY: "latency",
    ExitCode.INVALID: "latency",
}


def list_gates(
    *,
    verdict: Verdict,
    reasons: list[str],
    precision: str | None,
    signature: SignatureState,
    signer: str | None,
    signature_required: bool,
    emulated: bool,
    limits: Mapping[str, Any],
    metric: Metric | None,
    parity: list[Parity],
    latency: Latency | None,
    placement: Placement | None,
) -> list[Gate]:
    """Return the gates in a fixed order: verdict, contents, signature, parity by output, metric, latency, placement.

    The verdict is the agent's; the other gates say what it rests on. limits are the gates of the manifest.
    """
    return [
        Gate(
            name="verdict",
            group="verdict",
            status=_VERDICT_STATUS[verdict],
            required="pass",
            measured=verdict,
            reason=None if verdict == "pass" else "; ".join(reasons),
        ),
        Gate(
            name="contents",
            group="contents",
            status="passed",
            required="as in the manifest",
            measured="size and sha256 of every file",
            reason=None,
        ),
        _check_signature(signature, signer, required=signature_required),
        *([_check_parity(output) for output in parity] or [_refuse_no_parity()]),
        _check_metric(metric, limits["metric_drop_max"]),
        _check_latency(latency, limits["latency_p90_ms_max"], emulated=emulated),
        _check_placement(placement, limits["int8_share_min"], precision),
    ]


def list_gates_of_error(code: ExitCode, what: str) -> list[Gate]:
    """Return the gates of a run that an error stopped: the verdict, and the gate that the error is about."""
    groups = ["verdict", _GROUP_OF_ERROR[code]] if code in _GROUP_OF_ERROR else ["verdict"]
    status: GateStatus = "invalid" if code is ExitCode.INVALID else "failed"
    return [
        Gate(name=group, group=group, status=status, required="pass", measured=ABSENT, reason=what) for group in groups
    ]


def _check_signature(signature: SignatureState, signer: str | None, *, required: bool) -> Gate:
    verified = signature == "verified"
    return Gate(
        name="signature",
        group="signature",
        status="passed" if verified else "skipped",
        required="a trusted signature",
        measured=signature if signer is None else f"signed by {signer}",
        reason=None if verified else "not checked in this run" if required else "not asked for",
    )


def _check_parity(output: Parity) -> Gate:
    measured = f"SQNR {write_sqnr(output)}"
    least = output["sqnr_db_min"]
    required = "finite values" if least is None else f"≥ {least:.1f} dB"
    reason = None
    if not output["passed"]:
        nonfinite = f"; {output['nonfinite']} values are not finite" if output["nonfinite"] else ""
        reason = f"output {output['output']}: expected {required}, found {measured}{nonfinite}"
    return Gate(
        name=f"parity {output['output']}",
        group="parity",
        status="passed" if output["passed"] else "failed",
        required=required,
        measured=measured,
        reason=reason,
    )


def _refuse_no_parity() -> Gate:
    return Gate(
        name="parity",
        group="parity",
        status="failed",
        required="every output compared",
        measured="none was",
        reason="no output could be compared with the exported model's",
    )


def _check_metric(metric: Metric | None, drop_max: float | None) -> Gate:
    if metric is None:
        return _skip("metric", "metric", ABSENT, "the recipe names no task metric")
    measured = f"{metric['name']} drop {write_points(metric['drop'])}"
    if drop_max is None:
        return _skip("metric", "metric", measured, NO_GATE)
    passed = metric["drop"] <= drop_max + METRIC_TOLERANCE
    required = f"≤ {write_points(drop_max)}"
    reason = f"expected a drop {required}, found {write_points(metric['drop'])}"
    return Gate(
        name="metric",
        group="metric",
        status="passed" if passed else "failed",
        required=required,
        measured=measured,
        reason=None if passed else reason,
    )


def _check_latency(latency: Latency | None, p90_ms_max: float | None, *, emulated: bool) -> Gate:
    if latency is None:
        return _skip("latency", "latency", ABSENT, "the latency was not measured")
    upper_ms = latency["deployed"]["p90_upper_ms"]
    measured = f"p90 at most {write_ms(upper_ms)}" if upper_ms is not None else ABSENT
    if emulated:
        return _skip("latency", "latency", measured, "latency on an emulated board is no measurement")
    if p90_ms_max is None:
        return _skip("latency", "latency", measured, NO_GATE)
    required = f"≤ {write_digits(p90_ms_max)} ms"
    status: GateStatus = "passed"
    reason = None
    if upper_ms is None:
        status, reason = "invalid", f"{latency['deployed']['samples']} samples are too few for a p90"
    elif upper_ms > p90_ms_max:
        status, reason = "failed", f"expected {required}, found {measured}"
    return Gate(name="latency", group="latency", status=status, required=required, measured=measured, reason=reason)


def _check_placement(placement: Placement | None, share_min: float | None, precision: str | None) -> Gate:
    if precision != "int8" or placement is None:
        return _skip("placement", "placement", ABSENT, f"the artifact is {precision or 'absent'}")
    share = placement["precision_share_macs"].get("int8", 0.0)
    measured = f"int8 {write_percent(share, 1)} of the MACs"
    if share_min is None:
        return _skip("placement", "placement", measured, NO_GATE)
    required = f"≥ {write_percent(share_min, 1)}"
    uncounted = [layer["name"] for layer in placement["layers"] if layer["macs"] is None]
    status: GateStatus = "passed"
    reason = None
    if uncounted or not placement["macs"]:
        status, reason = "failed", f"the share of int8 cannot be proven: {', '.join(uncounted) or 'no layer has MACs'}"
    elif share < share_min:
        status, reason = "failed", f"expected {required} of the MACs in int8, found {write_percent(share, 1)}"
    return Gate(name="placement", group="placement", status=status, required=required, measured=measured, reason=reason)


def _skip(name: str, group: str, measured: str, reason: str) -> Gate:
    return Gate(name=name, group=group, status="skipped", required=ABSENT, measured=measured, reason=reason)
