"""The command as a board runs it: a process with arguments, an exit code, one JSON object, progress lines."""

import dataclasses
import json
import subprocess
import sys

import pytest

from tests.made_record import NO_GATES
from toolchain.agent import __main__ as command
from toolchain.agent.errors import ExitCode


def run_agent(*arguments, cwd=None, module="toolchain.agent"):
    done = subprocess.run(
        [sys.executable, "-B", "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def test_verify_prints_measurements_and_progress_and_exits_with_the_verdict(make_bundle, tmp_path):
    samples = tmp_path / "samples.json"
    code, measurements, stderr = run_agent("verify", make_bundle(), "--samples", samples)
    assert (code, measurements["verdict"], measurements["exit_code"]) == (0, "pass", 0)
    assert json.loads(samples.read_text()) == {}
    events = [json.loads(line) for line in stderr.splitlines()]
    assert {event["event"] for event in events} == {"progress"}
    assert {"open", "placement", "parity int8"} <= {event["step"] for event in events}
    assert all(0 < event["done"] <= event["total"] for event in events)


def test_the_agent_in_a_bundle_runs_by_itself_and_leaves_nothing_behind(make_bundle):
    bundle = make_bundle()
    code, measurements, _ = run_agent("verify", ".", cwd=bundle, module="agent")
    assert (code, measurements["verdict"]) == (0, "pass")
    code, measurements, _ = run_agent("verify", ".", cwd=bundle, module="agent")
    assert (code, measurements["verdict"]) == (0, "pass")


def test_real_latency_is_measured_for_every_payload(make_bundle, tmp_path):
    samples = tmp_path / "samples.json"
    options = (
        "--samples",
        samples,
        "--settings",
        '{"latency_samples": 200, "latency_limit_s": 2, "start_processes": 1}',
    )
    code, measurements, _ = run_agent("verify", make_bundle(emulated=False), *options)
    assert code in (ExitCode.PROVEN, ExitCode.INVALID)  # which of them depends on what else the machine does
    samples_ms = json.loads(samples.read_text())
    assert set(samples_ms) == {"reference", "int8", "float32"}
    assert measurements["record"]["references"][0]["latency"]["samples"] == len(samples_ms["reference"]) >= 11
    assert min(samples_ms["int8"]) > 0


def test_the_agent_in_a_bundle_measures_memory_and_start_in_processes_of_its_own(make_bundle):
    gates = dataclasses.replace(NO_GATES, limits={"memory_peak_mb_max": 1000.0})
    bundle = make_bundle(gates=gates)
    before = sorted(path for path in bundle.rglob("*"))
    code, measurements, _ = run_agent("verify", ".", cwd=bundle, module="agent")
    assert (code, measurements["verdict"]) == (0, "pass")
    footprint = measurements["record"]["candidates"][0]["footprint"]
    assert (footprint["failure"], footprint["runs"][0]["unknown"]) == (None, [])
    assert 10_000_000 < footprint["runs"][0]["peak_bytes"] < 1_000_000_000
    assert sorted(path for path in bundle.rglob("*")) == before


def test_a_failed_verdict_is_the_exit_code(make_bundle, write_model):
    code, measurements, _ = run_agent("verify", make_bundle(candidates={"float32": write_model("nan")}))
    assert (code, measurements["verdict"]) == (ExitCode.PARITY, "fail")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["verify"], ExitCode.USAGE),
        (["verify", "/no/such/bundle"], ExitCode.USAGE),
        (["no-such-command"], ExitCode.USAGE),
        ([], ExitCode.USAGE),
        (["verify", ".", "--settings", '{"latency_samples": 0}'], ExitCode.USAGE),
        (["verify", ".", "--settings", "{"], ExitCode.USAGE),
    ],
)
def test_an_error_is_one_json_object_with_its_exit_code(arguments, code):
    returned, document, _ = run_agent(*arguments)
    assert returned == code
    assert document["error"]["code"] == code
    assert set(document["error"]) == {"code", "what", "where", "expected", "found", "fix"}


def test_a_damaged_bundle_is_an_error_with_its_exit_code(make_bundle):
    bundle = make_bundle()
    (bundle / "payload/int8/model.onnx").unlink()
    code, document, _ = run_agent("verify", bundle)
    assert (code, document["error"]["where"]) == (ExitCode.CONTENT, "payload/int8/model.onnx")


def test_samples_inside_the_bundle_are_refused_because_they_would_change_it(make_bundle):
    bundle = make_bundle()
    code, document, _ = run_agent("verify", bundle, "--samples", bundle / "samples.json")
    assert (code, "part of the bundle" in document["error"]["what"]) == (ExitCode.USAGE, True)


@pytest.mark.parametrize("name", ["install", "rollback", "status", "check", "enroll", "facts"])
def test_what_installs_is_no_command_of_what_measures(name):
    code, document, _ = run_agent(name)
    assert (code, "invalid choice" in document["error"]["what"]) == (ExitCode.USAGE, True)


@pytest.mark.parametrize(
    ("error", "code"),
    [(OSError(28, "No space left on device"), ExitCode.STORAGE), (RuntimeError("boom"), ExitCode.UNEXPECTED)],
)
def test_what_nobody_expected_is_json_too_with_a_traceback_on_stderr(monkeypatch, capsys, tmp_path, error, code):
    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr(command, "build_parser", fail)
    assert command.main(["verify", str(tmp_path)]) == code
    printed = capsys.readouterr()
    assert type(error).__name__ in json.loads(printed.out)["error"]["what"]
    assert "Traceback" in printed.err
