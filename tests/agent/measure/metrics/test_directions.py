"""Metrics that are no shares of samples: less is better, in a unit, or with targets of another length for each sample."""

import dataclasses
import sys

import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import Gates, MetricSpec, read_manifest
from toolchain.agent.measure import members, metrics
from toolchain.agent.measure.gates.metric import judge
from toolchain.agent.measure.golden import evaluate_session, open_golden
from toolchain.agent.measure.record import MetricResult
from toolchain.agent.measure.session import open_session
from toolchain.agent.measure.targets import Ragged

ERROR = """
from toolchain.agent.measure.metrics import refuse_empty, take_target
from toolchain.agent.measure.scale import Scale
import math
import numpy as np

SCALE = Scale(unit="px", worst=math.inf, best=0.0)
OUTPUTS = ("logits",)
TARGETS = ("points",)

class Tally:
    def __init__(self):
        self.total, self.count = 0.0, 0

    def add(self, outputs, targets):
        points = take_target("error", targets, "points")
        self.total += float(np.abs(outputs["logits"] - points).sum())
        self.count += points.size

    def compute(self):
        return self.total / self.count

start = Tally
"""
BOXES = """
from toolchain.agent.measure.scale import FRACTION

SCALE = FRACTION
OUTPUTS = ()
TARGETS = ("boxes",)

class Tally:
    def __init__(self):
        self.right, self.samples = 0, 0

    def add(self, outputs, targets):
        boxes = targets["boxes"]
        (logits,) = outputs.values()
        self.samples += len(boxes)
        self.right += sum(len(boxes.read(index)) == row.argmax() for index, row in enumerate(logits))

    def compute(self):
        return self.right / self.samples

start = Tally
"""
LOOSE = Gates(metric_drop_max=None, sqnr_db_min={}, int8_share_min=None, latency_p90_ms_max=None)


@pytest.fixture
def more_metrics(tmp_path, monkeypatch):
    folder = tmp_path / "metrics"
    folder.mkdir()
    (folder / "error_px.py").write_text(ERROR)
    (folder / "boxes.py").write_text(BOXES)
    monkeypatch.setattr(members, "_files", {})
    for name in ("error_px", "boxes"):
        monkeypatch.delitem(sys.modules, f"{metrics.__name__}.{name}", raising=False)
        members.register_member(metrics, name, folder / f"{name}.py")


@pytest.fixture
def evaluate(more_metrics, make_bundle, write_model):
    """Return a function that measures a payload by a metric, and returns the gate's row and the metric's result."""

    def measure(kind, name, reference, targets, **gates):
        bundle = make_bundle(
            candidates={"float32": write_model(kind)},
            metric=MetricSpec(name=name, reference=reference),
            targets=targets,
            gates=dataclasses.replace(LOOSE, **gates),
        )
        manifest, _ = read_manifest(bundle)
        session = open_session("onnxruntime", bundle / "payload/float32/model.onnx", 1)
        evaluation = evaluate_session(session, open_golden(bundle, manifest), manifest, lambda done, total: None)
        candidate = type("Candidate", (), {"evaluation": evaluation})
        (row,) = judge(type("Case", (), {"manifest": manifest, "candidate": candidate}))
        return row, evaluation.metric

    return measure


def test_an_error_that_rises_is_a_drop_above_0_and_fails_in_its_unit(evaluate, samples):
    row, result = evaluate("negated", "error_px", 0.5, {"points": samples[1]})
    assert result.drop == result.deployed - 0.5 > 0
    assert (row.status, row.code, row.required) == ("failed", ExitCode.METRIC, "≤ 0.00500 px (default)")
    assert f"error_px rises by {result.drop:.2f}"[:20] in row.reason
    assert "px against 0.500 px" in row.reason


def test_an_error_that_falls_is_a_drop_below_0_and_passes(evaluate, samples):
    row, result = evaluate("float32", "error_px", 0.5, {"points": samples[1]})
    assert result.drop == pytest.approx(-0.5, abs=1e-4)
    assert row.status == "passed"


def test_a_limit_of_the_recipe_is_in_the_unit_of_the_metric(evaluate, samples):
    row, _ = evaluate("negated", "error_px", 0.5, {"points": samples[1]}, metric_drop_max=1e6)
    assert (row.status, row.required) == ("passed", "≤ 1000000 px")


def test_an_artifact_whose_metric_is_no_number_fails(evaluate, samples):
    row, result = evaluate("float32", "error_px", 0.5, {"points": samples[1] * np.float32("nan")})
    assert (result, row.status, row.code) == (None, "failed", ExitCode.METRIC)


@pytest.mark.parametrize(("factor", "status"), [(1.005, "passed"), (10, "failed")])
def test_an_error_of_tiny_numbers_has_the_same_gate_as_one_of_large_numbers(more_metrics, factor, status):
    for scale in (1e-12, 1.0, 1e12):
        result = MetricResult(
            name="error_px",
            reference=scale,
            deployed=scale * factor,
            drop=0.0,
            samples=70,
            drop_lower=None,
            drop_upper=None,
        )
        evaluation = type("Evaluation", (), {"metric": result, "mismatch": None})
        spec = MetricSpec(name="error_px", reference=result.reference)
        manifest = type("Manifest", (), {"metric": spec, "gates": LOOSE})
        candidate = type("Candidate", (), {"evaluation": evaluation})
        (row,) = judge(type("Case", (), {"manifest": manifest, "candidate": candidate}))
        assert row.status == status


def test_ragged_targets_travel_in_the_bundle_and_are_read_sample_by_sample(evaluate, samples):
    counts = samples[2]
    boxes = Ragged(values=np.zeros((int(counts.sum()), 4), np.float32), offsets=np.cumsum([0, *counts], dtype=np.int64))
    row, result = evaluate("float32", "boxes", 1.0, {"boxes": boxes})
    assert (result.deployed, result.samples, row.status) == (1.0, len(counts), "passed")


def test_a_metric_that_reads_the_second_output_leaves_the_first_to_drift(more_metrics):
    assert metrics.list_read_outputs(metrics.find_metric("error_px"), ["features", "logits"]) == ["logits"]
    assert metrics.list_read_outputs(metrics.find_metric("boxes"), ["features", "logits"]) == ["features"]


@pytest.mark.parametrize(
    ("changes", "name", "place"),
    [
        ({"targets": {"points": np.zeros((69, 4), np.float32)}}, "error_px", "golden.targets: points"),
        ({"targets": {"other": np.zeros((70, 4), np.float32)}}, "error_px", "golden.targets"),
        ({}, "os", "metric.name"),
        ({}, "../golden", "metric.name"),
    ],
)
def test_a_bundle_whose_targets_are_not_its_metrics_is_refused(more_metrics, make_bundle, changes, name, place):
    good = {"metric": MetricSpec(name="error_px", reference=0.5), "targets": {"points": np.zeros((70, 4), np.float32)}}
    bundle = make_bundle(**{**good, **changes})
    manifest = dataclasses.replace(read_manifest(bundle)[0], metric=MetricSpec(name=name, reference=0.5))
    with pytest.raises(ToolchainError) as caught:
        open_golden(bundle, manifest)
    assert (caught.value.code, caught.value.where) == (ExitCode.MALFORMED, place)
    assert caught.value.fix


def test_the_same_bundle_with_its_own_targets_is_read(more_metrics, make_bundle):
    metric, targets = MetricSpec(name="error_px", reference=0.5), {"points": np.zeros((70, 4), np.float32)}
    bundle = make_bundle(metric=metric, targets=targets)
    manifest, _ = read_manifest(bundle)
    assert open_golden(bundle, manifest).read_targets(3, 5)["points"].shape == (2, 4)
