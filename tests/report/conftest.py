"""A made-up run of resnet8 on cpu, with numbers such as a real one has, and its variants."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from toolchain.report.document import StageRecord, build_report
from toolchain.report.shape import Report, SignatureState

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


def describe_latency(samples: list[float]) -> dict[str, Any]:
    ordered = sorted(samples)

    def at(quantile: float) -> float:
        return ordered[min(len(ordered) - 1, math.ceil(quantile * len(ordered)) - 1)]

    mean = sum(ordered) / len(ordered)
    spread = math.sqrt(sum((value - mean) ** 2 for value in ordered) / (len(ordered) - 1))
    return {
        "p50_ms": at(0.5),
        "p50_upper_ms": at(0.533),
        "p90_ms": at(0.9),
        "p90_upper_ms": at(0.92),
        "p99_ms": at(0.99),
        "p99_upper_ms": at(0.996),
        "mean_ms": mean,
        "cv": spread / mean,
        "samples": len(ordered),
        "steady": True,
    }


def describe_parity(sqnr_db: float, sqnr_db_min: float) -> list[dict[str, Any]]:
    return [
        {
            "output": "logits",
            "max_abs": 0.412,
            "p99_abs": 0.166,
            "cosine": 0.99941,
            "sqnr_db": sqnr_db,
            "nonfinite": 0,
            "sqnr_db_min": sqnr_db_min,
            "passed": sqnr_db >= sqnr_db_min,
        }
    ]


@dataclass(frozen=True)
class Run:
    """What build_report and write_reports take."""

    measurements: dict[str, Any]
    manifest: dict[str, Any]
    samples: dict[str, list[float]]
    stages: tuple[StageRecord, ...]
    provenance: dict[str, Any]
    signature: SignatureState = "unsigned"
    signer: str | None = None
    device: str | None = None
    notes: tuple[str, ...] = ()
    float_reasons: dict[str, str] = field(default_factory=lambda: dict(FLOAT_REASONS))

    def report(self) -> Report:
        return build_report(
            measurements=self.measurements,
            manifest=self.manifest,
            stages=self.stages,
            provenance=self.provenance,
            signature=self.signature,
            signer=self.signer,
            device=self.device,
            notes=self.notes,
            float_reasons=self.float_reasons,
        )

    def but(self, **changes: Any) -> Run:
        """A copy that a test may change."""
        return replace(copy.deepcopy(self), **changes)


@pytest.fixture
def run(passing_run: Run) -> Run:
    """Int8 passes and is shipped; the first layer stays in float; the bundle is not signed."""
    return passing_run.but()


@pytest.fixture(scope="session")
def passing_run() -> Run:
    """What `run` is a copy of; not to be changed."""
    reference, int8 = make_samples(0.531, seed=1), make_samples(0.262, seed=2)
    latency = describe_latency(int8)
    ratio = describe_latency(reference)["mean_ms"] / latency["mean_ms"]
    measurements: dict[str, Any] = {
        "schema": 1,
        "bundle_id": "5f1d2c9be0a4476fb8c3dd1ce4a70a7b1e6f9a02c8d94c35a1b7e3f4d6c80912",
        "device": {
            "arch": "x86_64",
            "cpu": "Intel(R) Xeon(R) Platinum 8488C",
            "cpu_features": ["avx2", "avx512f", "avx512_vnni"],
            "os": "Debian GNU/Linux 12",
            "python": "3.11.2",
            "runtime": "onnxruntime",
            "runtime_version": "1.32.0",
            "threads": 1,
            "accelerator": None,
            "details": {},
        },
        "verdict": "pass",
        "exit_code": 0,
        "reasons": [],
        "shipped": {"precision": "int8"},
        "candidates": [
            {
                "precision": "int8",
                "path": "payload/resnet8.int8.onnx",
                "sha256": "9c1185a5c5e9fc54612808977ee8f548b2258d31ddadef707bbd5a5ec8f7d0a4",
                "size_bytes": 101_873,
                "status": "shipped",
                "reasons": [],
                "metric": {"name": "top1", "reference": 0.925, "deployed": 0.9245, "drop": 0.0005, "samples": 2000},
                "parity": describe_parity(29.4, 20.0),
                "latency": latency,
                "speedup": {"ratio": ratio, "low": ratio - 0.016, "high": ratio + 0.017},
                "placement": {
                    "precision_share_macs": {
                        "int8": 1 - LAYERS[0][2] / MACS,
                        "float32": LAYERS[0][2] / MACS,
                    },
                    "macs": MACS,
                    "layers": [
                        {"name": name, "op": op, "precision": "float32" if name == "conv1" else "int8", "macs": macs}
                        for name, op, macs in LAYERS
                    ],
                },
            },
            {
                "precision": "float32",
                "path": "payload/resnet8.float32.onnx",
                "sha256": "3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8550",
                "size_bytes": 315_210,
                "status": "not needed",
                "reasons": [],
                "metric": None,
                "parity": [],
                "latency": describe_latency(make_samples(0.529, seed=3)),
                "speedup": {"ratio": 1.0, "low": 0.99, "high": 1.01},
                "placement": {
                    "precision_share_macs": {"float32": 1.0},
                    "macs": MACS,
                    "layers": [
                        {"name": name, "op": op, "precision": "float32", "macs": macs} for name, op, macs in LAYERS
                    ],
                },
            },
        ],
        "reference": {"path": "payload/resnet8.float32.onnx", "latency": describe_latency(reference)},
        "latency_scope": "session.run, host memory to host memory",
        "batch": 1,
        "threads": 1,
    }
    manifest = {
        "schema": 1,
        "model": "resnet8",
        "target": "cpu",
        "runtime": "onnxruntime",
        "threads": 1,
        "emulated": False,
        "signature": "optional",
        "reference": "payload/resnet8.float32.onnx",
        "gates": {
            "metric_drop_max": 0.003,
            "sqnr_db_min": {"int8": 20.0, "float32": 60.0},
            "int8_share_min": 0.8,
            "latency_p90_ms_max": 5.0,
        },
        "files": [
            {
                "path": "payload/resnet8.float32.onnx",
                "size_bytes": 315_210,
                "sha256": "3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8550",
            }
        ],
    }
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
        measurements=measurements,
        manifest=manifest,
        samples={"reference": reference, "int8": int8, "float32": make_samples(0.529, seed=3)},
        stages=stages,
        provenance=provenance,
    )


@pytest.fixture
def failed_run(run: Run) -> Run:
    """Nothing is shipped: int8 loses too much, and is the only candidate."""
    failed = run.but()
    reasons = [
        "output logits: SQNR 17.2 dB is under 20 dB",
        "top1 drops by 1.35 points, more than 0.30: 91.15 % against 92.50 %",
    ]
    candidate = failed.measurements["candidates"][0]
    candidate.update(status="rejected", reasons=reasons, parity=describe_parity(17.2, 20.0))
    candidate["metric"].update(deployed=0.9115, drop=0.0135)
    failed.measurements.update(
        verdict="fail",
        exit_code=18,
        reasons=[f"int8: {reason}" for reason in reasons],
        shipped=None,
        candidates=[candidate],
    )
    return failed


@pytest.fixture
def float_run(run: Run) -> Run:
    """Float is shipped, because int8 is not faster."""
    shipped = run.but(float_reasons={})
    int8, float32 = shipped.measurements["candidates"]
    reason = "not faster than float32: 0.94 times its speed, between 0.92 and 0.95 with 99 % confidence"
    int8.update(status="rejected", reasons=[reason], speedup={"ratio": 0.94, "low": 0.92, "high": 0.95})
    float32.update(
        status="shipped",
        reasons=[],
        metric={"name": "top1", "reference": 0.925, "deployed": 0.925, "drop": 0.0, "samples": 2000},
        parity=[{**describe_parity(110.2, 60.0)[0], "max_abs": 3.1e-06, "p99_abs": 1.2e-06, "cosine": 1.0}],
    )
    shipped.measurements["reasons"] = [f"int8: {reason}"]
    shipped.measurements["shipped"] = {"precision": "float32"}
    return shipped
