"""Gates: what a candidate must reach, and which candidate is shipped. Pure functions of what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

from .errors import ExitCode, ToolchainError
from .latency import RATIO_INTERVAL_MAX, is_conclusive, is_faster
from .manifest import Gates
from .parity import OutputParity
from .placement import Placement
from .quantiles import Latency, Ratio

# Least SQNR of every output against the exported PyTorch model, in dB, where the recipe says nothing.
DEFAULT_SQNR_DB_MIN = {
    # 20 dB is an error of 10 % of the output's norm, near which classifiers begin to lose accuracy. A good int8 net
    # has 25 to 40 dB: an ideal 8-bit quantizer of a full-scale sine has 49.9 dB (6.02 bits + 1.76), many layers less.
    "int8": 20.0,
    # resnet18, resnet50, mobilenet_v2 and efficientnet_b0 reach 62 to 69 dB in fp16 (11 bits of precision).
    "fp16": 50.0,
    # The same four reach 120 to 132 dB between PyTorch and ONNX Runtime; deep sums in another order lose some of it.
    "float32": 80.0,
}
# Metrics are fractions of counts: 0.925 - 0.920 must not exceed 0.005 by a rounding error.
_METRIC_TOLERANCE = 1e-9

Failure = Tuple[ExitCode, str]


@dataclass(frozen=True)
class MetricResult:
    """The task metric of a candidate, against that of the uncompressed float model in PyTorch; fractions."""

    name: str
    reference: float
    deployed: float
    drop: float
    samples: int


def find_sqnr_db_min(gates: Gates, precision: str) -> float:
    """Return the SQNR gate of a precision in dB: the manifest's, or else the default."""
    if precision in gates.sqnr_db_min:
        return gates.sqnr_db_min[precision]
    if precision not in DEFAULT_SQNR_DB_MIN:
        known = ", ".join(DEFAULT_SQNR_DB_MIN)
        raise ToolchainError(ExitCode.MALFORMED, "there is no SQNR gate for a precision", "gates", known, precision)
    return DEFAULT_SQNR_DB_MIN[precision]


def passes_parity(parity: OutputParity, sqnr_db_min: float) -> bool:
    """Return whether one output is near enough to its reference, and finite."""
    return parity.nonfinite == 0 and parity.sqnr_db >= sqnr_db_min


def check_parity(parity: Sequence[OutputParity], sqnr_db_min: float) -> Sequence[Failure]:
    """Return the outputs that fail (exit 18)."""
    failures = []
    for output in parity:
        if output.nonfinite:
            failures.append((ExitCode.PARITY, f"output {output.output}: {output.nonfinite} values are NaN or infinite"))
        elif not passes_parity(output, sqnr_db_min):
            reason = f"output {output.output}: SQNR {output.sqnr_db:.1f} dB is under {sqnr_db_min:g} dB"
            failures.append((ExitCode.PARITY, reason))
    return failures


def check_metric(metric: Optional[MetricResult], gates: Gates) -> Sequence[Failure]:
    """Return whether the task metric drops too far (exit 24)."""
    limit = gates.metric_drop_max
    if metric is None or limit is None or metric.drop <= limit + _METRIC_TOLERANCE:
        return []
    reason = (
        f"{metric.name} drops by {100 * metric.drop:.2f} points, more than {100 * limit:.2f}: "
        f"{100 * metric.deployed:.2f} % against {100 * metric.reference:.2f} %"
    )
    return [(ExitCode.METRIC, reason)]


def check_int8_share(placement: Placement, precision: str, gates: Gates) -> Sequence[Failure]:
    """Return whether too little of an int8 payload really ran in int8.

    It has the exit code of latency (19): int8 that falls back to float is a promise of speed that was not kept.
    """
    limit = gates.int8_share_min
    if limit is None or precision != "int8":
        return []
    if placement.uncounted or not placement.macs:
        layers = ", ".join(f"{layer.name} ({layer.op})" for layer in placement.uncounted) or "no layer with MACs"
        return [(ExitCode.LATENCY, f"the share of int8 cannot be proven: {layers}")]
    share = placement.precision_share_macs.get("int8", 0.0)
    if share >= limit:
        return []
    reason = f"only {100 * share:.1f} % of the MACs ran in int8, less than {100 * limit:.1f} %"
    return [(ExitCode.LATENCY, reason)]


def check_latency(latency: Latency, gates: Gates) -> Sequence[Failure]:
    """Return whether p90 is too high (exit 19), by its upper bound: a latency that may be too high is not proven."""
    limit = gates.latency_p90_ms_max
    if limit is None or latency.p90_upper_ms is None or latency.p90_upper_ms <= limit:
        return []
    reason = f"p90 is {latency.p90_ms:.3f} ms, with 99 % confidence at most {latency.p90_upper_ms:.3f}; the gate is {limit:g} ms"
    return [(ExitCode.LATENCY, reason)]


def check_measurement(latency: Latency, ratios: Sequence[Ratio], gates: Gates) -> Sequence[Failure]:
    """Return what makes a measurement worthless (exit 20): too few samples for a gate, or ratios lost in noise."""
    failures = []
    if gates.latency_p90_ms_max is not None and latency.p90_upper_ms is None:
        reason = f"{latency.samples} samples are too few for the gate on p90, which needs 64; raise the time limit"
        failures.append((ExitCode.INVALID, reason))
    if not all(map(is_conclusive, ratios)):
        reason = (
            f"the latencies scatter so much that the interval of a speedup is wider than ±{RATIO_INTERVAL_MAX:.0%}; "
            "stop what else runs on the board, or raise the time limit"
        )
        failures.append((ExitCode.INVALID, reason))
    return failures


def check_throttling(*, throttled: Optional[bool]) -> Sequence[Failure]:
    """Return whether the board slowed itself down while it was measured (exit 20)."""
    if not throttled:
        return []
    reason = (
        "the board throttled itself during the measurement (over-current or over-temperature); "
        "cool it, give it a stronger supply, or choose a lower power mode"
    )
    return [(ExitCode.INVALID, reason)]


def check_speed(over_next: Optional[Ratio], next_precision: Optional[str]) -> Sequence[Failure]:
    """Return whether a candidate is not faster than the next one in the list (exit 19); None for the last."""
    if over_next is None or over_next.low is None or is_faster(over_next):
        return []
    reason = (
        f"not faster than {next_precision}: {over_next.ratio:.2f} times its speed, "
        f"between {over_next.low:.2f} and {over_next.high:.2f} with 99 % confidence"
    )
    return [(ExitCode.LATENCY, reason)]


@dataclass(frozen=True)
class Evidence:
    """What was measured of one candidate.

    mismatch says how its outputs differ from the reference's in name, dtype or shape; then parity is empty.
    over_next is the latency of the next candidate over this one's, None for the last. throttled is None where the board
    does not show whether it slowed itself down.
    """

    precision: str
    next_precision: Optional[str]
    mismatch: Optional[str]
    parity: Sequence[OutputParity]
    metric: Optional[MetricResult]
    placement: Placement
    latency: Latency
    over_reference: Ratio
    over_next: Optional[Ratio]
    throttled: Optional[bool] = None


def judge_candidate(evidence: Evidence, gates: Gates, *, emulated: bool) -> Sequence[Failure]:
    """Return why a candidate cannot be shipped, the gravest reason first; nothing means that it can.

    Parity (18), metric (24), then latency (19): the share of int8, speed against the next candidate, p90. Where a
    measurement is worthless (20) it is the only reason, and there is none of parity, metric or share. On an emulated
    board latency says nothing and decides nothing.
    """
    failures = [] if evidence.mismatch is None else [(ExitCode.PARITY, evidence.mismatch)]
    failures += check_parity(evidence.parity, find_sqnr_db_min(gates, evidence.precision))
    failures += check_metric(evidence.metric, gates)
    failures += check_int8_share(evidence.placement, evidence.precision, gates)
    if failures or emulated:
        return failures
    ratios = [ratio for ratio in (evidence.over_reference, evidence.over_next) if ratio is not None]
    failures += check_measurement(evidence.latency, ratios, gates)
    failures += check_throttling(throttled=evidence.throttled)
    if failures:
        return failures
    failures += check_speed(evidence.over_next, evidence.next_precision)
    failures += check_latency(evidence.latency, gates)
    return failures
