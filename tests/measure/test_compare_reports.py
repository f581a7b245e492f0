"""Two reports side by side: like runs are compared, and only one that is not worse passes."""

import copy
import io
import json
import math

import pytest

from tests.report.made_run import make_run
from toolchain.errors import ExitCode, ToolchainError
from toolchain.measure.compare_reports import Limits, compare_reports, find_reports, print_reports

LIMITS = Limits()


@pytest.fixture
def report():
    document = json.loads(json.dumps(make_run().report()))
    document["provenance"]["evaluation_sha256"] = "ab" * 32
    return document


@pytest.fixture
def compare(report, tmp_path):
    """Return a function that compares the report with a changed copy of it."""

    def run(change=lambda document: None, *, limits=LIMITS):
        other = copy.deepcopy(report)
        change(other)
        for name, document in (("a", report), ("b", other)):
            (tmp_path / f"{name}.json").write_text(json.dumps(document))
        return compare_reports(tmp_path / "a.json", tmp_path / "b.json", limits=limits)

    return run


def test_a_report_is_not_worse_than_itself(compare):
    assert compare()["exit_code"] == ExitCode.PROVEN


def set_metric(value):
    return lambda document: document["metric"].update(deployed=value(document["metric"]["deployed"]))


@pytest.mark.parametrize(
    ("change", "limits", "code"),
    [
        (set_metric(lambda value: value - 0.002), LIMITS, ExitCode.METRIC),
        (set_metric(lambda value: value - 0.002), Limits(metric_drop_max=0.003), ExitCode.PROVEN),
        (set_metric(lambda value: value + 0.002), LIMITS, ExitCode.PROVEN),
        (lambda document: document.update(metric=None), None, None),
        (lambda document: document["latency"]["deployed"].update(p50_ms=1e3), LIMITS, ExitCode.LATENCY),
        (lambda document: document["latency"]["deployed"].update(p50_ms=1e-3), LIMITS, ExitCode.PROVEN),
        (lambda document: document["latency"]["deployed"].update(p50_ms=None), LIMITS, ExitCode.INVALID),
        (lambda document: document["artifact"].update(size_bytes=10**9), LIMITS, ExitCode.LATENCY),
        (lambda document: document.update(artifact=None), LIMITS, ExitCode.INVALID),
        (lambda document: document.update(verdict="fail", exit_code=24), LIMITS, ExitCode.METRIC),
        (lambda document: document.update(verdict="invalid", exit_code=20), LIMITS, ExitCode.INVALID),
        (lambda document: document.update(verdict="fail", exit_code=0), LIMITS, ExitCode.INVALID),
        (lambda document: document.update(exit_code=18), LIMITS, ExitCode.INVALID),
        (lambda document: document.update(verdict="fail", exit_code=99), LIMITS, ExitCode.INVALID),
        (lambda document: None, Limits(metric_drop_max=math.nan), ExitCode.METRIC),
        (lambda document: None, Limits(slowdown_max=math.nan), ExitCode.LATENCY),
        (lambda document: None, Limits(size_growth_max=math.nan), ExitCode.LATENCY),
    ],
)
def test_what_is_worse_fails_by_its_code(compare, change, limits, code):
    if code is None:  # a metric that one of them lacks is another condition
        with pytest.raises(ToolchainError, match=r"metric\.name"):
            compare(change)
        return
    found = compare(change, limits=limits)
    assert found["exit_code"] == code
    assert found["passed"] == (code == ExitCode.PROVEN)
    assert bool(found["reasons"]) != found["passed"]


def test_of_a_metric_that_should_be_low_a_higher_value_is_worse(compare, report):
    report["metric"].update(direction="lower", unit="px", deployed=3.0)
    assert compare(set_metric(lambda value: value + 0.5))["exit_code"] == ExitCode.METRIC
    assert compare(set_metric(lambda value: value - 0.5))["exit_code"] == ExitCode.PROVEN


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("device.cpu", lambda document: document["device"].update(cpu="another")),
        ("device.runtime_version", lambda document: document["device"].update(runtime_version="0.1")),
        ("device.threads", lambda document: document["device"].update(threads=7)),
        ("provenance.evaluation_sha256", lambda document: document["provenance"].update(evaluation_sha256="cd" * 32)),
        ("metric.truth", lambda document: document["metric"].update(truth="float")),
        (
            "provenance.recipe.task.metric_options",
            lambda document: document["provenance"].update(recipe={"task": {"metric_options": {"k": 5}}}),
        ),
        ("metric.samples", lambda document: document["metric"].update(samples=3)),
        ("latency.batch", lambda document: document["latency"].update(batch=9)),
        ("target", lambda document: document.update(target="another")),
        ("emulated", lambda document: document.update(emulated=True)),
        ("device.arch", lambda document: document.update(device=None)),
    ],
)
def test_other_conditions_are_refused_by_the_field(compare, field, change):
    with pytest.raises(ToolchainError) as caught:
        compare(change)
    assert (caught.value.code, caught.value.where) == (ExitCode.USAGE, field)


def test_reports_that_do_not_say_their_data_are_refused(compare, report):
    del report["provenance"]["evaluation_sha256"]
    with pytest.raises(ToolchainError, match="does not say what it was measured on"):
        compare()


def test_without_limits_nothing_is_judged(compare):
    found = compare(set_metric(lambda value: value - 0.5), limits=None)
    assert found.keys() == {"a", "b", "rows"}


def test_the_table_shows_both_sides_and_the_change(compare):
    stream = io.StringIO()
    print_reports(compare(set_metric(lambda value: value - 0.002)), stream=stream)
    text = stream.getvalue()
    assert "FAIL  B is worse (exit 24)" in text
    assert "worse by 0.20 points, the limit is 0.00 points" in text


def test_a_report_and_a_model_are_not_compared(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/report.json").write_text("{}")
    assert find_reports(tmp_path / "out", tmp_path / "x.json") == (tmp_path / "out/report.json", tmp_path / "x.json")
    assert find_reports(tmp_path / "a.onnx", tmp_path / "b.onnx") is None
    with pytest.raises(ToolchainError) as caught:
        find_reports(tmp_path / "out", tmp_path / "b.onnx")
    assert caught.value.code == ExitCode.USAGE
