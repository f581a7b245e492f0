from __future__ import annotations

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.report.error_document import build_error_report


def find_gate(report, name):
    return next(gate for gate in report["gates"] if gate["name"] == name)


def test_the_gates_are_what_the_host_knows_and_then_the_rows_of_the_judge(run):
    gates = run.report()["gates"]
    assert [gate["name"] for gate in gates[:3]] == ["verdict", "contents", "signature"]
    rows = run.judge().candidates[0].rows
    for gate, row in zip(gates[3:], rows, strict=True):
        assert {**gate, "code": row.code} == vars(row)


def test_a_run_that_passes_has_no_failed_gate(run):
    assert {gate["status"] for gate in run.report()["gates"]} == {"passed", "skipped"}


def test_a_failed_verdict_gives_all_its_reasons(failed_run):
    gate = find_gate(failed_run.report(), "verdict")
    assert gate["status"] == "failed"
    assert "top1 drops" in gate["reason"]
    assert "logits" in gate["reason"]


def test_an_invalid_measurement_is_no_failure(failed_run):
    report = failed_run.with_verdict(verdict="invalid", exit_code=20).report()
    assert find_gate(report, "verdict")["status"] == "invalid"


def test_only_a_verified_signature_passes(run):
    assert find_gate(run.report(), "signature")["status"] == "skipped"
    assert find_gate(run.but(signature="verified").report(), "signature")["status"] == "passed"


def test_the_signer_is_named(run):
    report = run.but(signature="verified", signer="ci@example.org").report()
    assert find_gate(report, "signature")["measured"] == "signed by ci@example.org"
    assert report["signer"] == "ci@example.org"


def test_a_required_signature_that_was_not_checked_is_not_called_unasked(run):
    report = run.with_manifest(signature="required").but(signature="not checked").report()
    gate = find_gate(report, "signature")
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
