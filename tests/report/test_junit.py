from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from toolchain.agent.measure.quantiles import Ratio
from toolchain.errors import usage
from toolchain.report.error_document import build_error_report
from toolchain.report.junit import render_junit


def parse(report):
    root = ET.fromstring(render_junit(report))
    return root, root.find("testsuite"), {case.get("name"): case for case in root.iter("testcase")}


def test_every_gate_is_a_test_case_in_order(run):
    report = run.report()
    _, suite, cases = parse(report)
    assert suite.get("name") == "resnet8 on cpu"
    assert list(cases) == [gate["name"] for gate in report["gates"]]
    assert {case.get("classname") for case in cases.values()} == {"resnet8.cpu"}


@pytest.mark.parametrize("name", ["run", "failed_run", "float_run"])
def test_the_counts_are_those_of_the_elements(name, request):
    root, suite, cases = parse(request.getfixturevalue(name).report())
    for element in (root, suite):
        assert int(element.get("tests")) == len(cases)
        assert int(element.get("failures")) == len(list(root.iter("failure")))
        assert int(element.get("errors")) == len(list(root.iter("error")))
    assert int(suite.get("skipped")) == len(list(root.iter("skipped")))


def test_a_passing_run_has_no_failure(run):
    root, _, _ = parse(run.report())
    assert list(root.iter("failure")) == []
    assert list(root.iter("error")) == []


def test_a_failure_has_the_reason_in_its_message(failed_run):
    _, _, cases = parse(failed_run.report())
    assert "top1 drops" in cases["verdict"].find("failure").get("message")
    assert "0.30 points" in cases["metric"].find("failure").get("message")
    assert "17.2 dB" in cases["parity logits"].find("failure").text


def test_a_test_case_has_at_most_one_result(failed_run):
    _, _, cases = parse(failed_run.report())
    for case in cases.values():
        assert len([child for child in case if child.tag in {"failure", "error", "skipped"}]) <= 1


def test_an_invalid_measurement_is_an_error_and_not_a_failure(failed_run):
    _, _, cases = parse(failed_run.with_verdict(verdict="invalid", exit_code=20).report())
    assert cases["verdict"].find("error") is not None
    assert cases["verdict"].find("failure") is None


def test_a_run_that_an_error_stopped_is_one_failure():
    report = build_error_report(error=usage("unknown key"), model="m", target="t", stages=[], provenance={})
    root, _, cases = parse(report)
    assert root.get("failures") == "1"
    assert cases["verdict"].find("failure").get("message") == "unknown key"


def test_markup_and_control_characters_in_names_leave_valid_xml(run):
    _, suite, _ = parse(run.with_manifest(model='a<b>&"c"\x00\x1b[31m\ud800\uffff').report())
    assert suite.get("name").startswith('a<b>&"c"')


def test_the_same_report_gives_the_same_bytes(run):
    assert render_junit(run.report()) == render_junit(run.report())


def test_warnings_stand_in_the_output_of_the_suite(run):
    _, suite, _ = parse(run.but(notes=("four samples are all the same",)).report())
    assert "warning: four samples are all the same\n" in suite.find("system-out").text
    assert suite[-1].tag == "system-out"


def test_an_undecided_gate_passes_and_says_that_it_is(run):
    report = run.with_candidate(over_later={"float32": Ratio(ratio=1.2, low=0.9, high=1.5)}).report()
    root, _, cases = parse(report)
    assert list(root.iter("failure")) == []
    assert "undecided whether it is faster" in cases["speed"].find("system-out").text


def test_what_stopped_a_run_is_told_with_its_place_and_its_fix():
    error = usage("unknown key", where="recipe.toml: gates.x", expected="one of a, b", found="x", fix="remove it")
    report = build_error_report(error=error, model="net", target="cpu", stages=[], provenance={})
    suites = ET.fromstring(render_junit(report))
    assert suites.find("testsuite/system-err").text == str(error)
    assert suites.find("testsuite/testcase/failure").get("message") == "unknown key"


def test_a_run_with_a_verdict_has_no_error_to_tell(run):
    assert ET.fromstring(render_junit(run.report())).find("testsuite/system-err") is None
