"""The in-toto statement: what it is about, what it says of each gate, and that nothing untested counts as passed."""

import json

import in_toto_attestation.predicates.test_result.v0.test_result_pb2 as test_result
import in_toto_attestation.v1.statement_pb2 as statement_message
import pytest
from google.protobuf import json_format
from in_toto_attestation.v1.statement import Statement

from toolchain.report.statement import build_statement, encode_statement

ENVIRONMENT = {
    "runtime": "onnxruntime",
    "runtime_version": "1.32.0",
    "libraries": {"a.so": "0" * 64},
    "gpu_driver": None,
}


def build(run):
    return json.loads(encode_statement(build_statement(run.report(), ENVIRONMENT)))


def test_a_pass_is_about_the_bundle_and_the_shipped_payload(run):
    report, statement = run.report(), build(run)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert [subject["digest"]["sha256"] for subject in statement["subject"]] == [
        report["bundle_id"],
        report["artifact"]["sha256"],
    ]
    assert statement["predicate"]["result"] == "PASSED"
    assert statement["predicate"]["failedTests"] == []


@pytest.mark.parametrize("kind", ["run", "failed_run", "float_run"])
def test_the_frameworks_own_library_reads_statement_and_predicate(kind, request):
    document = build(request.getfixturevalue(kind))
    Statement.copy_from_pb(json_format.ParseDict(document, statement_message.Statement())).validate()
    predicate = json_format.ParseDict(document["predicate"], test_result.TestResult())
    assert list(predicate.passed_tests) == document["predicate"]["passedTests"]


def test_the_frameworks_own_library_refuses_what_is_no_statement(run):
    document = build(run)
    with pytest.raises(json_format.ParseError):
        json_format.ParseDict({**document["predicate"], "verdict": "PASSED"}, test_result.TestResult())
    unnamed = {**document, "predicateType": ""}
    with pytest.raises(ValueError, match="Predicate type"):
        Statement.copy_from_pb(json_format.ParseDict(unnamed, statement_message.Statement())).validate()


def test_a_fail_is_about_the_bundle_alone_and_names_the_gates_that_failed(failed_run):
    statement = build(failed_run)
    assert len(statement["subject"]) == 1
    assert statement["predicate"]["result"] == "FAILED"
    failed = [f"{gate['group']}: {gate['name']}" for gate in failed_run.report()["gates"] if gate["status"] == "failed"]
    assert failed
    assert statement["predicate"]["failedTests"] == failed


@pytest.mark.parametrize("kind", ["run", "failed_run", "float_run"])
def test_a_gate_is_listed_once_by_its_status_and_one_that_was_skipped_nowhere(kind, request):
    run = request.getfixturevalue(kind).emulate()
    predicate, gates = build(run)["predicate"], run.report()["gates"]
    listed = [*predicate["passedTests"], *predicate["failedTests"], *predicate["warnedTests"]]
    assert len(listed) == len(set(listed))
    skipped = [f"{gate['group']}: {gate['name']}" for gate in gates if gate["status"] == "skipped"]
    assert skipped
    assert not set(listed).intersection(skipped)
    assert len(listed) + len(skipped) == len(gates)


def test_the_environment_is_in_the_configuration_with_its_digest(run):
    configuration = {item["name"]: item for item in build(run)["predicate"]["configuration"]}
    assert configuration["environment"]["annotations"] == ENVIRONMENT
    changed = build_statement(run.report(), {**ENVIRONMENT, "runtime_version": "1.23.2"})
    [other] = [item for item in changed["predicate"]["configuration"] if item["name"] == "environment"]
    assert other["digest"] != configuration["environment"]["digest"]


def test_the_same_verdict_gives_the_same_bytes(run):
    assert encode_statement(build_statement(run.report(), ENVIRONMENT)) == encode_statement(
        build_statement(run.report(), dict(reversed(ENVIRONMENT.items())))
    )
