from __future__ import annotations

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.report.document import build_error_report


def find_gate(report, name):
    return next(gate for gate in report["gates"] if gate["name"] == name)


def test_the_gates_come_in_a_fixed_order(run):
    names = [gate["name"] for gate in run.report()["gates"]]
    assert names == ["verdict", "contents", "signature", "parity logits", "metric", "latency", "placement"]


def test_a_run_that_passes_has_no_failed_gate(run):
    assert {gate["status"] for gate in run.report()["gates"]} == {"passed", "skipped"}


def test_a_failed_verdict_gives_all_its_reasons(failed_run):
    gate = find_gate(failed_run.report(), "verdict")
    assert gate["status"] == "failed"
    assert "top1 drops" in gate["reason"]
    assert "logits" in gate["reason"]


def test_an_invalid_measurement_is_no_failure(failed_run):
    failed_run.measurements.update(verdict="invalid", exit_code=20)
    assert find_gate(failed_run.report(), "verdict")["status"] == "invalid"


def test_every_output_has_its_gate_and_a_failed_one_says_its_numbers(failed_run):
    parity = failed_run.measurements["candidates"][0]["parity"]
    parity.append({**parity[0], "output": "boxes", "sqnr_db": 31.0, "passed": True})
    report = failed_run.report()
    assert find_gate(report, "parity boxes")["status"] == "passed"
    failed = find_gate(report, "parity logits")
    assert failed["status"] == "failed"
    assert "17.2 dB" in failed["reason"]
    assert "20.0 dB" in failed["reason"]


def test_nonfinite_values_are_named(failed_run):
    failed_run.measurements["candidates"][0]["parity"][0]["nonfinite"] = 7
    assert "7 values are not finite" in find_gate(failed_run.report(), "parity logits")["reason"]


def test_a_drop_of_exactly_the_limit_passes_and_more_fails(run):
    run.manifest["gates"]["metric_drop_max"] = 0.005
    metric = run.measurements["candidates"][0]["metric"]
    metric["drop"] = 0.925 - 0.920  # a little more than 0.005 in binary
    assert find_gate(run.report(), "metric")["status"] == "passed"
    metric["drop"] = 0.0051
    assert find_gate(run.report(), "metric")["status"] == "failed"


def test_latency_is_judged_by_the_upper_bound(run):
    latency = run.measurements["candidates"][0]["latency"]
    run.manifest["gates"]["latency_p90_ms_max"] = (latency["p90_ms"] + latency["p90_upper_ms"]) / 2
    assert find_gate(run.report(), "latency")["status"] == "failed"
    run.manifest["gates"]["latency_p90_ms_max"] = latency["p90_upper_ms"]
    assert find_gate(run.report(), "latency")["status"] == "passed"


def test_a_latency_gate_without_a_bound_is_invalid(run):
    run.measurements["candidates"][0]["latency"].update(p90_ms=None, p90_upper_ms=None, samples=40)
    gate = find_gate(run.report(), "latency")
    assert gate["status"] == "invalid"
    assert "40 samples" in gate["reason"]


def test_latency_on_an_emulated_board_gates_nothing(run):
    run.manifest["emulated"] = True
    run.manifest["gates"]["latency_p90_ms_max"] = 0.001
    assert find_gate(run.report(), "latency")["status"] == "skipped"


@pytest.mark.parametrize(
    ("name", "limit"),
    [("metric", "metric_drop_max"), ("latency", "latency_p90_ms_max"), ("placement", "int8_share_min")],
)
def test_a_gate_without_a_limit_is_skipped_and_says_so(run, name, limit):
    run.manifest["gates"][limit] = None
    gate = find_gate(run.report(), name)
    assert (gate["status"], gate["reason"]) == ("skipped", "no limit is set")


def test_too_small_a_share_of_int8_fails(run):
    run.manifest["gates"]["int8_share_min"] = 0.97
    gate = find_gate(run.report(), "placement")
    assert gate["status"] == "failed"
    assert "96.5 %" in gate["reason"]


def test_a_share_that_cannot_be_counted_is_not_proven(run):
    layers = run.measurements["candidates"][0]["placement"]["layers"]
    layers.append({"name": "einsum", "op": "Einsum", "precision": "int8", "macs": None})
    gate = find_gate(run.report(), "placement")
    assert gate["status"] == "failed"
    assert "einsum" in gate["reason"]


def test_the_share_of_int8_does_not_gate_a_float_artifact(float_run):
    assert find_gate(float_run.report(), "placement")["status"] == "skipped"


def test_only_a_verified_signature_passes(run):
    assert find_gate(run.report(), "signature")["status"] == "skipped"
    assert find_gate(run.but(signature="verified").report(), "signature")["status"] == "passed"


def test_the_signer_is_named(run):
    report = run.but(signature="verified", signer="ci@example.org").report()
    assert find_gate(report, "signature")["measured"] == "signed by ci@example.org"
    assert report["signer"] == "ci@example.org"


def test_a_required_signature_that_was_not_checked_is_not_called_unasked(run):
    run.manifest["signature"] = "required"
    gate = find_gate(run.but(signature="not checked").report(), "signature")
    assert (gate["status"], gate["reason"]) == ("skipped", "not checked in this run")


@pytest.mark.parametrize(
    ("code", "names"),
    [
        (ExitCode.CONTENT, ["verdict", "contents"]),
        (ExitCode.SIGNATURE, ["verdict", "signature"]),
        (ExitCode.PARITY, ["verdict", "parity"]),
        (ExitCode.MISSING, ["verdict"]),
    ],
)
def test_an_error_fails_the_verdict_and_the_gate_that_it_is_about(code, names):
    report = build_error_report(
        error=ToolchainError(code, "it stopped"), model="m", target="t", stages=[], provenance={}
    )
    assert [gate["name"] for gate in report["gates"]] == names
    assert {gate["status"] for gate in report["gates"]} == {"failed"}


def test_an_artifact_of_which_no_output_was_compared_fails_parity(failed_run):
    failed_run.measurements["candidates"][0]["parity"] = []
    gate = find_gate(failed_run.report(), "parity")
    assert gate["status"] == "failed"
