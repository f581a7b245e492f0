"""Builds report.json from what a run left: measurements, manifest, stages, provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from toolchain.errors import ToolchainError, malformed
from toolchain.report.gates import list_gates, list_gates_of_error
from toolchain.report.placement import read_placement
from toolchain.report.quantities import write_percent
from toolchain.report.shape import (
    SCHEMA,
    Artifact,
    Candidate,
    Device,
    Engine,
    Latency,
    LatencyNumbers,
    Metric,
    Parity,
    Placement,
    Report,
    RunError,
    SignatureState,
    Stage,
)

NO_REASON = "no reason was recorded"


@dataclass(frozen=True)
class StageRecord:
    """One stage of a run: how long it took, whether the cache had it, and the hash of what it made."""

    name: str
    duration_s: float
    cached: bool
    sha256: str | None


def build_report(
    *,
    measurements: Mapping[str, Any],
    manifest: Mapping[str, Any],
    stages: Sequence[StageRecord],
    provenance: Mapping[str, Any],
    signature: SignatureState,
    signer: str | None = None,
    device: str | None = None,
    notes: Sequence[str] = (),
    float_reasons: Mapping[str, str] | None = None,
    bundle_path: str = "bundle",
) -> Report:
    """Return report.json for what the agent measured.

    When nothing was shipped, the fields describe the first candidate. Numbers that JSON cannot hold (infinite, NaN)
    become null.

    Args:
        measurements: the JSON of `python -m agent verify`.
        manifest: the bundle's manifest.json.
        stages: the stages of the run, in order.
        provenance: versions, seeds, data hashes, git commit.
        signature: what is known of the bundle's signature.
        signer: whom the board found behind it.
        device: the unit's name; None is this machine.
        notes: what the board says beside its verdict, as warnings.
        float_reasons: why a layer was kept in float, by the name of the layer.
        bundle_path: the bundle's folder, relative to that of report.json.

    Raises:
        ToolchainError: the measurements or the manifest lack a key (exit 23).
    """
    try:
        return _build(
            measurements=_replace_nonfinite(measurements),
            manifest=_replace_nonfinite(manifest),
            stages=stages,
            provenance=_replace_nonfinite(provenance),
            signature=signature,
            signer=signer,
            device=device,
            notes=notes,
            float_reasons=float_reasons or {},
            bundle_path=bundle_path,
        )
    except KeyError as error:
        raise malformed("the measurements or the manifest lack a key", expected=f"the key {error}") from error


def build_error_report(
    *,
    error: ToolchainError,
    model: str,
    target: str,
    stages: Sequence[StageRecord],
    provenance: Mapping[str, Any],
) -> Report:
    """Return report.json for a run that an error stopped before there was anything to measure."""
    return Report(
        schema=SCHEMA,
        verdict="fail",
        reasons=[error.what],
        exit_code=int(error.code),
        model=model,
        target=target,
        device=None,
        precision=None,
        bundle_id=None,
        signature="not checked",
        signer=None,
        emulated=False,
        warnings=[],
        artifact=None,
        reference=None,
        metric=None,
        parity=[],
        latency=None,
        placement=None,
        gates=list_gates_of_error(error.code, error.what),
        candidates=[],
        stages=[_record_stage(stage) for stage in stages],
        provenance=_replace_nonfinite(provenance),
        error=cast(RunError, error.to_dict()),
    )


def _build(
    *,
    measurements: Mapping[str, Any],
    manifest: Mapping[str, Any],
    stages: Sequence[StageRecord],
    provenance: dict[str, Any],
    signature: SignatureState,
    signer: str | None,
    device: str | None,
    notes: Sequence[str],
    float_reasons: Mapping[str, str],
    bundle_path: str,
) -> Report:
    candidates: list[dict[str, Any]] = measurements["candidates"]
    described = next((item for item in candidates if item["status"] == "shipped"), candidates[0] if candidates else {})
    precision: str | None = described.get("precision")
    metric = None if described.get("metric") is None else cast(Metric, _pick(described["metric"], Metric))
    parity = [cast(Parity, _pick(output, Parity)) for output in described.get("parity") or []]
    latency = _read_latency(measurements, described)
    placement = read_placement(described.get("placement"), precision, float_reasons)
    emulated = bool(manifest["emulated"])
    reasons = list(measurements["reasons"])
    return Report(
        schema=SCHEMA,
        verdict=measurements["verdict"],
        reasons=reasons,
        exit_code=measurements["exit_code"],
        model=manifest["model"],
        target=manifest["target"],
        device=cast(Device, _pick({"details": {}, **measurements["device"], "name": device}, Device)),
        precision=precision,
        bundle_id=measurements["bundle_id"],
        signature=signature,
        signer=signer,
        emulated=emulated,
        warnings=[*notes, *_list_warnings(candidates, signature, latency, placement, emulated=emulated)],
        artifact=_read_artifact(described, bundle_path),
        reference=_read_reference(manifest, bundle_path),
        metric=metric,
        parity=parity,
        latency=latency,
        placement=placement,
        gates=list_gates(
            verdict=measurements["verdict"],
            reasons=reasons,
            precision=precision,
            signature=signature,
            signer=signer,
            signature_required=manifest["signature"] == "required",
            emulated=emulated,
            limits=manifest["gates"],
            metric=metric,
            parity=parity,
            latency=latency,
            placement=placement,
        ),
        candidates=[
            _summarize_candidate(item, (measurements["shipped"] or {}).get("precision")) for item in candidates
        ],
        stages=[_record_stage(stage) for stage in stages],
        provenance=provenance,
        error=None,
    )


def _pick(source: Mapping[str, Any], shape: type[Any]) -> dict[str, Any]:
    return {key: source[key] for key in shape.__annotations__}


def _record_stage(stage: StageRecord) -> Stage:
    return cast(Stage, asdict(stage))


def _read_artifact(candidate: Mapping[str, Any], bundle_path: str) -> Artifact | None:
    if not candidate:
        return None
    return Artifact(
        path=f"{bundle_path}/{candidate['path']}", size_bytes=candidate["size_bytes"], sha256=candidate["sha256"]
    )


def _read_reference(manifest: Mapping[str, Any], bundle_path: str) -> Artifact | None:
    for file in manifest["files"]:
        if file["path"] == manifest["reference"]:
            return Artifact(path=f"{bundle_path}/{file['path']}", size_bytes=file["size_bytes"], sha256=file["sha256"])
    return None


def _read_latency(measurements: Mapping[str, Any], candidate: Mapping[str, Any]) -> Latency | None:
    reference = (measurements["reference"] or {}).get("latency")
    deployed = candidate.get("latency")
    if reference is None or deployed is None:
        return None
    speedup = candidate["speedup"] or {"ratio": None, "low": None, "high": None}
    return Latency(
        scope=measurements["latency_scope"],
        batch=measurements["batch"],
        threads=measurements["threads"],
        reference=cast(LatencyNumbers, _pick(reference, LatencyNumbers)),
        deployed=cast(LatencyNumbers, _pick(deployed, LatencyNumbers)),
        speedup=speedup["ratio"],
        speedup_low=speedup["low"],
        speedup_high=speedup["high"],
    )


def _summarize_candidate(candidate: Mapping[str, Any], shipped: str | None) -> Candidate:
    metric, latency, speedup = candidate["metric"], candidate["latency"], candidate["speedup"]
    return Candidate(
        precision=candidate["precision"],
        path=candidate["path"],
        size_bytes=candidate["size_bytes"],
        status=candidate["status"],
        reasons=list(candidate["reasons"]) or [_explain_status(candidate["status"], shipped)],
        metric_drop=metric["drop"] if metric else None,
        sqnr_db_least=min(
            (output["sqnr_db"] for output in candidate["parity"] or [] if output["sqnr_db"] is not None), default=None
        ),
        p90_ms=latency["p90_ms"] if latency else None,
        speedup=speedup["ratio"] if speedup else None,
        engine=None if candidate.get("engine") is None else cast(Engine, _pick(candidate["engine"], Engine)),
    )


def _explain_status(status: str, shipped: str | None) -> str:
    if status == "shipped":
        return "the first in the target's order that passed"
    if status == "not needed" and shipped is not None:
        return f"{shipped} comes first in the target's order, and passed"
    return "a measurement before it was not valid" if status == "not needed" else NO_REASON


def _list_warnings(
    candidates: list[dict[str, Any]],
    signature: SignatureState,
    latency: Latency | None,
    placement: Placement | None,
    *,
    emulated: bool,
) -> list[str]:
    warnings = []
    if signature != "verified":
        warnings.append(f"the bundle is {'not signed' if signature == 'unsigned' else 'of unchecked signature'}")
    if emulated:
        warnings.append("the board is emulated: its latency is no measurement and gates nothing")
    if latency is not None:
        for kind, numbers in (("float reference", latency["reference"]), ("artifact", latency["deployed"])):
            if numbers["samples"] and not numbers["steady"]:
                warnings.append(f"the latency of the {kind} did not become steady")
    shipped = next((item for item in candidates if item["status"] == "shipped"), None)
    if shipped is not None:
        warnings += [
            f"{item['precision']} was not shipped: {'; '.join(item['reasons'])}"
            for item in candidates
            if item["status"] == "rejected"
        ]
        warnings += _list_fallbacks_of_dla(shipped)
    if placement is not None:
        silent = [item for item in placement["fallbacks"] if item["reason"] is None]
        share = sum(item["share_macs"] or 0.0 for item in silent)
        if silent:
            names = ", ".join(item["name"] for item in silent)
            warnings.append(f"{write_percent(share, 1)} of the MACs left the precision, {NO_REASON}: {names}")
    return warnings


def _list_fallbacks_of_dla(candidate: Mapping[str, Any]) -> list[str]:
    engine = candidate.get("engine") or {}
    layers = engine.get("gpu_fallback", ())
    return [f"layers that the DLA does not take run on the GPU: {', '.join(layers)}"] if layers else []


def _replace_nonfinite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _replace_nonfinite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replace_nonfinite(item) for item in value]
    return value
