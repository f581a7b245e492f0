"""A made-up run of resnet8 on cpu, with numbers such as a real one has."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tests.made_record import make_candidate, make_manifest, make_record, make_reference
from toolchain.agent.manifest import Gates, Manifest, TensorSpec
from toolchain.agent.measure.drift import OutputDrift
from toolchain.agent.measure.judge import Judgement, judge_record
from toolchain.agent.measure.parity import OutputParity
from toolchain.agent.measure.placement import Layer, Placement
from toolchain.agent.measure.quantiles import Ratio, summarize_latency
from toolchain.agent.measure.record import Evaluation, MetricResult, Record
from toolchain.agent.measure.variation import Varying
from toolchain.report.document import build_report
from toolchain.report.explanation import GraphNotes
from toolchain.report.shape import Report, SignatureState
from toolchain.run.stage_record import StageRecord

LAYERS = [
    ("conv1", "Conv", 442_368),
    ("layer1.conv1", "Conv", 2_359_296),
    ("layer1.conv2", "Conv", 2_359_296),
    ("layer2.conv1", "Conv", 1_179_648),
    ("layer2.conv2", "Conv", 2_359_296),
    ("layer2.shortcut", "Conv", 131_072),
    ("layer3.conv1", "Conv", 1_179_648),
    ("layer3.conv2", "Conv", 2_359_296),
    ("layer3.shortcut", "Conv", 131_072),
    ("classifier", "Gemm", 640),
]
MACS = sum(macs for _, _, macs in LAYERS)
FLOAT_REASONS = {
    "conv1": "slower in int8 than in float on this CPU: 0.061 ms against 0.049 ms",
    "softmax": "normalization stays in float",
}


def make_samples(median_ms: float, seed: int) -> list[float]:
    """1,500 latencies in ms: a narrow right-skewed body, and three that an interrupt hit."""
    generator = np.random.default_rng(seed)
    body = median_ms * (1 + 0.018 * generator.gamma(2.0, 1.0, 1500))
    body[[311, 702, 1200]] *= [2.6, 1.9, 3.4]
    return [round(float(value), 6) for value in body]


def describe_parity(sqnr_db: float) -> OutputParity:
    return OutputParity(output="logits", max_abs=0.412, p99_abs=0.166, cosine=0.99941, sqnr_db=sqnr_db, nonfinite=0)


def describe_drift(sqnr_db: float) -> OutputDrift:
    return OutputDrift(
        output="logits",
        max_abs=0.412,
        sqnr_db=sqnr_db,
        nonfinite=0,
        agreement=0.9965,
        is_scores=False,
        varying=Varying(varying_db=sqnr_db - 4, channels=10, constant=0, lost=0),
    )


def describe_metric(deployed: float) -> MetricResult:
    return MetricResult(
        name="top1",
        reference=0.925,
        deployed=deployed,
        drop=0.925 - deployed,
        samples=2000,
        drop_lower=None,
        drop_upper=None,
    )


def describe_evaluation(sqnr_db: float, deployed: float) -> Evaluation:
    return Evaluation(
        mismatch=None,
        parity=(describe_parity(sqnr_db),),
        drift=(describe_drift(sqnr_db),),
        metric=describe_metric(deployed),
        samples=2000,
    )


def place_layers(floats: Collection[str]) -> Placement:
    return Placement(
        layers=tuple(
            Layer(name=name, op=op, precision="float32" if name in floats else "int8", macs=macs)
            for name, op, macs in LAYERS
        )
    )


@dataclass(frozen=True)
class Run:
    """What build_report and write_reports take; the judgement is that of record and manifest unless a test sets one."""

    record: Record
    manifest: Manifest
    samples: dict[str, list[float]]
    stages: tuple[StageRecord, ...]
    provenance: dict[str, Any]
    judgement: Judgement | None = None
    signature: SignatureState = "unsigned"
    signer: str | None = None
    device: str | None = None
    notes: tuple[str, ...] = ()
    float_reasons: dict[str, str] = field(default_factory=lambda: dict(FLOAT_REASONS))
    graphs: dict[tuple[str, str], GraphNotes] = field(default_factory=dict)

    def judge(self) -> Judgement:
        return self.judgement or judge_record(self.record, self.manifest)

    def report(self) -> Report:
        return build_report(
            record=self.record,
            judgement=self.judge(),
            manifest=self.manifest,
            stages=self.stages,
            provenance=self.provenance,
            signature=self.signature,
            signer=self.signer,
            device=self.device,
            notes=self.notes,
            float_reasons=self.float_reasons,
            graphs=self.graphs,
        )

    def but(self, **changes: Any) -> Run:
        """A copy with other fields."""
        return replace(self, **changes)

    def with_record(self, **changes: Any) -> Run:
        return self.but(record=replace(self.record, **changes))

    def with_manifest(self, **changes: Any) -> Run:
        return self.but(manifest=replace(self.manifest, **changes))

    def with_candidate(self, index: int = 0, **changes: Any) -> Run:
        candidates = list(self.record.candidates)
        candidates[index] = replace(candidates[index], **changes)
        return self.with_record(candidates=tuple(candidates))

    def with_verdict(self, **changes: Any) -> Run:
        return self.but(judgement=replace(self.judge(), **changes))

    def emulate(self) -> Run:
        """The same on an emulated board, where nothing is timed."""
        nothing = summarize_latency([], steady=False)
        unknown = Ratio(ratio=None, low=None, high=None)
        run = self.with_manifest(emulated=True).with_candidate(latency=nothing, over_reference=unknown)
        references = tuple(replace(item, latency=nothing) for item in run.record.references)
        return run.with_record(references=references)


def make_run() -> Run:
    """Int8 passes and is shipped; the first layer stays in float; the bundle is not signed."""
    reference, int8, float32 = make_samples(0.531, seed=1), make_samples(0.262, seed=2), make_samples(0.529, seed=3)
    latency = summarize_latency(int8, steady=True)
    ratio = sum(reference) / sum(int8)
    faster = Ratio(ratio=ratio, low=ratio - 0.016, high=ratio + 0.017)
    float_latency = summarize_latency(reference, steady=True)
    record = make_record(
        references=(
            make_reference("original", latency=summarize_latency([0.6] * 100, steady=True)),
            make_reference("float32", latency=float_latency),
        ),
        candidates=(
            make_candidate(
                "int8",
                evaluation=describe_evaluation(29.4, 0.9245),
                placement=place_layers({"conv1"}),
                latency=latency,
                over_reference=faster,
                over_later={"float32": faster},
            ),
            make_candidate(
                "float32",
                placement=place_layers({name for name, _, _ in LAYERS}),
                latency=summarize_latency(float32, steady=True),
                over_reference=Ratio(ratio=1.0, low=0.99, high=1.01),
            ),
        ),
    )
    manifest = make_manifest(
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(None, 10)),),
        golden=replace(make_manifest().golden, samples=2000),
        gates=Gates(
            metric_drop_max=0.003,
            sqnr_db_min={"int8": 20.0, "float32": 60.0},
            int8_share_min=0.8,
            latency_p90_ms_max=5.0,
        ),
    )
    stages = (
        StageRecord(name="compress", duration_s=0.011, cached=True, sha256="a0" * 32),
        StageRecord(name="export", duration_s=3.42, cached=False, sha256="b1" * 32),
        StageRecord(name="optimize", duration_s=1.07, cached=False, sha256="c2" * 32),
        StageRecord(name="lower", duration_s=9.81, cached=False, sha256="d3" * 32),
        StageRecord(name="bundle", duration_s=0.19, cached=False, sha256="e4" * 32),
        StageRecord(name="verify", duration_s=12.6, cached=False, sha256=None),
    )
    provenance = {
        "toolchain": "0.1.0",
        "git_commit": "1f0c2b7d",
        "created": "2026-11-24T03:50:11Z",
        "seed": 0,
        "versions": {"python": "3.11.2", "torch": "2.14.1", "onnx": "1.23.2", "onnxruntime": "1.32.0"},
        "data": {
            "name": "fashion_mnist",
            "calibration": {"samples": 256, "sha256": "f5" * 32},
            "evaluation": {"samples": 2000, "sha256": "06" * 32},
        },
        "weights": {"sha256": "17" * 32},
    }
    return Run(
        record=record,
        manifest=manifest,
        samples={"reference": reference, "int8": int8, "float32": float32},
        stages=stages,
        provenance=provenance,
    )
