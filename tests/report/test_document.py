from __future__ import annotations

import dataclasses
import json
import math

import pytest

from tests.report.made_run import LAYERS, place_layers
from toolchain.agent.measure.placement import Layer, Placement
from toolchain.agent.measure.quantiles import Ratio
from toolchain.agent.measure.session import EngineFacts
from toolchain.agent.measure.validity import Validity
from toolchain.errors import missing
from toolchain.report.error_document import build_error_report
from toolchain.report.html import render_html
from toolchain.run.stage_record import StageRecord

CONTRACT = {
    "schema", "verdict", "reasons", "exit_code", "model", "target", "device", "precision", "bundle_id", "artifact",
    "metric", "parity", "latency", "placement", "stages", "provenance",
}  # fmt: skip


def test_a_report_has_the_keys_of_the_contract(run):
    report = run.report()
    assert set(report) >= CONTRACT
    assert set(report["artifact"]) == {"path", "size_bytes", "sha256"}
    assert set(report["metric"]) == {
        *("name", "reference", "deployed", "drop", "drop_lower", "drop_upper", "samples", "unit", "direction"),
        "truth",
    }
    assert set(report["parity"][0]) >= {"output", "max_abs", "p99_abs", "cosine", "sqnr_db", "nonfinite", "passed"}
    assert set(report["latency"]) >= {"scope", "batch", "threads", "reference", "deployed", "speedup"}
    assert set(report["latency"]["deployed"]) >= {"p50_ms", "p90_ms", "p99_ms", "p90_upper_ms", "samples"}
    assert set(report["placement"]) >= {"precision_share_macs", "fallbacks"}
    assert set(report["stages"][0]) == {"name", "duration_s", "cached", "sha256"}


def test_an_error_report_has_the_same_keys_as_a_measured_one(run):
    error = missing("the data set fashion_mnist is not here", fix="install dataset-fashion-mnist")
    report = build_error_report(error=error, model="resnet8", target="cpu", stages=[], provenance={})
    assert set(report) == set(run.report())


def test_the_fields_describe_what_was_shipped(float_run):
    report = float_run.report()
    assert report["precision"] == "float32"
    assert report["artifact"]["path"] == "bundle/payload/float32/model.onnx"
    assert report["latency"]["speedup"] == 1.0


def test_the_fields_describe_the_first_candidate_when_nothing_was_shipped(failed_run):
    report = failed_run.report()
    assert (report["verdict"], report["exit_code"], report["precision"]) == ("fail", 18, "int8")
    assert report["artifact"]["path"].endswith("int8/model.onnx")
    assert report["metric"]["drop"] == pytest.approx(0.0135)


def test_they_describe_the_one_that_could_not_be_measured_where_that_is_the_verdict(float_run):
    disturbed = Validity(problems=("others wanted the CPU",))
    int8 = place_layers({name for name, _, _ in LAYERS})
    report = float_run.with_candidate(placement=int8).with_record(validity=disturbed).report()
    assert (report["verdict"], report["exit_code"], report["precision"]) == ("invalid", 20, "float32")
    assert {gate["name"]: gate["status"] for gate in report["gates"]}["measurement"] == "invalid"
    assert any("no layer ran in int8" in reason for reason in report["reasons"])


def test_the_verdict_the_reasons_and_the_exit_code_are_the_judges(failed_run):
    report = failed_run.with_verdict(verdict="invalid", exit_code=20, reasons=("the board throttled",)).report()
    assert (report["verdict"], report["exit_code"], report["reasons"]) == ("invalid", 20, ["the board throttled"])


def test_a_layer_kept_in_float_is_listed_with_its_share_and_reason(run):
    first, second = run.report()["placement"]["fallbacks"]
    assert first["name"] == "conv1"
    assert first["share_macs"] == pytest.approx(442_368 / 12_501_632)
    assert "slower in int8" in first["reason"]
    assert (second["name"], second["macs"], second["reason"]) == ("softmax", None, "normalization stays in float")


def test_a_layer_that_fell_back_without_a_reason_is_a_warning(run):
    silent = run.but(float_reasons={}).report()
    assert silent["placement"]["fallbacks"][0]["reason"] is None
    assert any("conv1" in warning and "no reason was recorded" in warning for warning in silent["warnings"])
    assert not any("no reason was recorded" in warning for warning in run.report()["warnings"])


def test_a_float_artifact_has_no_fallbacks(float_run):
    assert float_run.but(float_reasons={"conv1": "kept"}).report()["placement"]["fallbacks"] == []


def test_layers_whose_macs_cannot_be_counted_are_kept(run):
    layers = run.record.candidates[0].placement.layers
    einsum = Layer(name="einsum", op="Einsum", precision="float32", macs=None)
    report = run.with_record(pinned="int8").with_candidate(placement=Placement(layers=(*layers, einsum))).report()
    fallback = next(item for item in report["placement"]["fallbacks"] if item["name"] == "einsum")
    assert (fallback["macs"], fallback["share_macs"]) == (None, None)


def test_an_unsigned_bundle_is_a_warning_and_a_verified_one_is_not(run):
    assert "the bundle is not signed" in run.report()["warnings"]
    assert run.but(signature="verified").report()["warnings"] == []


def test_the_unit_is_named_and_this_machine_has_no_name(run):
    assert run.but(device="lab-pi").report()["device"]["name"] == "lab-pi"
    assert run.report()["device"]["name"] is None


def test_what_the_board_notes_is_a_warning(run):
    assert run.but(notes=("record, after the switch: disk full",)).report()["warnings"][0].startswith("record, after")


def test_an_unsteady_latency_is_a_warning(run):
    reference = run.record.references[1]
    unsteady = dataclasses.replace(reference, latency=dataclasses.replace(reference.latency, steady=False))
    report = run.with_record(references=(run.record.references[0], unsteady)).report()
    assert any("float reference" in warning and "steady" in warning for warning in report["warnings"])


def test_an_emulated_board_is_a_warning(run):
    report = run.emulate().report()
    assert report["emulated"] is True
    assert any("emulated" in warning for warning in report["warnings"])


def test_shipping_another_precision_than_the_preferred_one_is_a_warning(float_run):
    assert any("int8 was not shipped" in warning for warning in float_run.report()["warnings"])


def test_every_candidate_says_why_it_was_or_was_not_shipped(float_run):
    int8, float32 = float_run.report()["candidates"]
    assert (int8["status"], float32["status"]) == ("rejected", "shipped")
    assert "not faster than float32: 0.94" in int8["reasons"][0]


def test_a_candidate_without_a_reason_of_its_own_gets_the_reason_of_its_status(run):
    int8, float32 = run.report()["candidates"]
    assert int8["reasons"] == ["the first in the target's order that passed"]
    assert float32["reasons"] == ["int8 comes first in the target's order, and passed"]
    pinned = run.with_record(pinned="float32").with_candidate(1, evaluation=None)
    assert "another payload was to be proven" in pinned.report()["candidates"][0]["reasons"][0]


def test_an_engine_that_the_board_built_is_named_by_its_hash(run):
    engine = EngineFacts(
        sha256="e" * 64,
        size_bytes=13_800_000,
        build_s=41.5,
        reused=False,
        runtime_version="10.3.0",
        gpu="Orin",
        architecture="sm_87",
        power_mode="15W",
        gpu_fallback=("node_Softmax", "node_Gemm"),
        cuda_graph="captured",
    )
    payload = dataclasses.replace(run.record.candidates[0].payload, engine=engine)
    report = run.with_candidate(payload=payload).report()
    fields = {**dataclasses.asdict(engine), "gpu_fallback": ["node_Softmax", "node_Gemm"]}
    assert [item["engine"] for item in report["candidates"]] == [fields, None]
    page = render_html(report, drawings=())
    assert f"engine <code>{'e' * 64}</code>" in page
    assert "built in 42 s for Orin by 10.3.0" in page
    assert "layers that the DLA does not take run on the GPU: node_Softmax, node_Gemm" in report["warnings"]


def test_numbers_that_json_cannot_hold_become_null(run):
    report = run.but(provenance={"loss": math.nan}).report()
    assert report["provenance"]["loss"] is None
    json.dumps(report, allow_nan=False)


def test_what_is_shipped_stands_with_its_bytes_and_nothing_where_nothing_is(run, failed_run):
    shipped = run.report()["shipped"]
    assert (shipped["precision"], shipped["path"]) == ("int8", "bundle/payload/int8/model.onnx")
    assert shipped["sha256"] == run.report()["artifact"]["sha256"]
    assert failed_run.report()["shipped"] is None


def test_the_reference_is_the_fastest_and_the_original_the_users_own(run):
    report = run.report()
    assert (report["reference"]["path"], report["reference"]["is_original"]) == (
        "bundle/payload/float32/model.onnx",
        False,
    )
    assert report["original"]["path"] == "bundle/payload/original/model.onnx"
    assert run.with_record(fastest=0).report()["reference"]["is_original"] is True


def test_the_drift_from_the_users_model_stands_beside_the_parity(run):
    (drift,) = run.report()["drift"]
    assert (drift["output"], drift["sqnr_db"], drift["agreement"]) == ("logits", 29.4, 0.9965)


def test_what_is_undecided_is_a_warning(run):
    report = run.with_candidate(over_later={"float32": Ratio(ratio=1.2, low=0.9, high=1.5)}).report()
    assert report["verdict"] == "pass"
    assert any("undecided whether it is faster" in warning for warning in report["warnings"])


def test_an_error_report_says_what_stopped_the_run_and_what_was_done_before():
    error = missing("the data set fashion_mnist is not here", where="data.name", fix="install dataset-fashion-mnist")
    report = build_error_report(
        error=error,
        model="resnet8",
        target="cpu",
        stages=[StageRecord(name="export", duration_s=3.1, cached=False, sha256="ab")],
        provenance={"toolchain": "0.1.0"},
    )
    assert (report["verdict"], report["exit_code"]) == ("fail", 3)
    assert report["reasons"] == ["the data set fashion_mnist is not here"]
    assert report["error"]["fix"] == "install dataset-fashion-mnist"
    assert [stage["name"] for stage in report["stages"]] == ["export"]
