"""A release that does not prove itself is not activated, and goes: with the real agent and runtime, and with broken ones."""

import dataclasses
import json
import sys
import sysconfig
from dataclasses import dataclass

import pytest

from tests.made_record import NO_GATES
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.install.self_test import _list_options
from toolchain.agent.measure.settings import MeasureSettings


def assert_rolled_back(board, good, answer, code):
    assert answer.code == code, answer
    board.assert_settled(good["old"].id, None)
    assert board.log[-1]["code"] == code
    assert board.install(good["new"]).code == ExitCode.PROVEN
    board.assert_settled(good["new"].id, good["old"].id)


def test_real_payloads_are_proven_on_the_board_and_checked_again_later(real_board, real_bundle):
    limits = {"memory_peak_mb_max": 2000.0}
    bundle = real_bundle(signature="required", gates=dataclasses.replace(NO_GATES, limits=limits))
    answer = real_board.install(bundle)
    assert answer.code == ExitCode.PROVEN, answer
    real_board.assert_settled(bundle.id, None)
    measurements = answer.document["measurements"]
    assert (measurements["verdict"], measurements["shipped"]["precision"]) == ("pass", "int8")
    assert measurements["record"]["bundle_id"] == answer.document["bundle_id"] == bundle.id
    steps = {json.loads(line)["step"] for line in answer.stderr.splitlines() if line.startswith("{")}
    assert {"receive", "open", "parity int8"} <= steps
    checked = real_board.run("check", "--who", "test")
    assert (checked.code, checked.document["bundle_id"]) == (ExitCode.PROVEN, bundle.id)
    assert checked.document["measurements"]["verdict"] == "pass"
    real_board.assert_settled(bundle.id, None)
    # Of what is active `status` shows the memory, whoever proved it last.
    took = [line["took"] for line in real_board.run("status").document["log_tail"] if "took" in line]
    assert len(took) == 2
    assert all(item["peak_bytes"] > 10_000_000 and item["batch"] == 64 for item in took)


def test_payloads_without_parity_are_exit_18_with_their_measurements(real_board, real_bundle, write_model):
    answer = real_board.install(real_bundle(candidates={"int8": write_model("negated")}))
    assert answer.code == answer.document["exit_code"] == ExitCode.PARITY
    assert answer.document["measurements"]["verdict"] == "fail"
    assert answer.document["measurements"]["candidates"][0]["rows"][1]["status"] == "failed"
    real_board.assert_invariant(None)
    assert real_board.list_releases() == real_board.list_staged() == []
    assert real_board.state_bytes is None


def test_int8_that_runs_in_float_is_exit_19(real_board, real_bundle, write_model):
    answer = real_board.install(real_bundle(candidates={"int8": write_model("float32")}))
    assert answer.code == ExitCode.LATENCY
    assert "ran in int8" in answer.document["measurements"]["reasons"][0]
    assert real_board.list_releases() == real_board.list_staged() == []


@pytest.mark.parametrize("code", [ExitCode.PARITY, ExitCode.LATENCY, ExitCode.INVALID, ExitCode.METRIC])
def test_a_verdict_that_fails_is_the_exit_code_and_the_release_goes(board, good, quick, sign, code):
    answer = board.install(sign(quick(body=f"code, reasons = {int(code)}, ['the reason']")))
    assert answer.document["measurements"]["reasons"] == ["the reason"]
    assert answer.document["state"]["current"] == good["old"].id
    assert_rolled_back(board, good, answer, code)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("sys.exit(0)", "no JSON object"),
        ("sys.exit(18)", "no JSON object"),
        ("print('[]'); sys.exit(0)", "no JSON object"),
        ("raise RuntimeError", "no JSON object"),
        ("print(json.dumps({'exit_code': 0})); sys.exit(18)", "but 0 in its words"),
        ("print(json.dumps({'exit_code': 0})); sys.exit(0)", "no JSON object"),
    ],
)
def test_a_self_test_that_ends_without_a_verdict_is_exit_21(board, good, quick, sign, body, found):
    answer = board.install(sign(quick(body=body)))
    assert found in answer.error["found"]
    assert_rolled_back(board, good, answer, ExitCode.ROLLED_BACK)


def test_a_self_test_that_hangs_is_ended_and_exit_21(board, good, quick, sign):
    answer = board.install(sign(quick(body="time.sleep(3600)")), "--limit-s", "3")
    assert "self_test took longer than 3 s" in answer.error["what"]
    assert_rolled_back(board, good, answer, ExitCode.ROLLED_BACK)


@pytest.mark.parametrize(("code", "told"), [(23, 23), (12, 12), (3, 3), (1, 21), (2, 21)])
def test_what_the_self_test_reports_in_place_of_a_verdict_is_told(board, good, quick, sign, code, told):
    error = {"code": code, "what": "no verdict", "where": "here", "expected": None, "found": None, "fix": None}
    answer = board.install(sign(quick(body=f"print(json.dumps({{'error': {error}}})); sys.exit({code})")))
    assert (answer.error["what"], answer.error["where"]) == ("no verdict", "here")
    assert_rolled_back(board, good, answer, told)


def test_a_proven_release_that_fails_its_self_test_now_stays(board, good, quick, sign, tmp_path):
    # Such as for noise of a busy board: the same bytes were proven, and they are what is active.
    flag = tmp_path / "fail"
    bundle = sign(quick(body=f"code = 20 if os.path.exists({str(flag)!r}) else 0", counter=1_790_000_002))
    assert board.install(bundle).code == ExitCode.PROVEN
    flag.touch()
    assert board.install(bundle).code == ExitCode.INVALID
    board.assert_settled(bundle.id, good["old"].id)


SETTINGS = '{"latency_limit_s": 1.5, "latency_samples": 77}'
OLDER = {"latency_samples": 77, "latency_limit_s": 1.5}


@pytest.mark.parametrize(
    ("extra", "options"),
    [
        ({"agent/measure/settings.py": b""}, f"--settings {SETTINGS}"),
        ({"agent/measure/arguments.py": b'"--pinned"'}, "--latency-samples 77 --latency-limit-s 1.5"),
        ({"agent/arguments.py": b""}, "--latency-samples 77 --latency-limit-s 1.5"),
    ],
    ids=["of today", "before the settings were one object", "before it measured in a folder of its own"],
)
def test_the_agent_of_a_release_gets_the_settings_as_it_knows_them(board, quick, sign, extra, options):
    bundle = sign(quick(body="reasons = [' '.join(sys.argv[1:])]", extra=extra))
    answer = board.install(bundle, "--settings", SETTINGS)
    assert answer.document["measurements"]["reasons"][0].endswith(options)


@dataclass(frozen=True)
class NewerSettings(MeasureSettings):
    power_samples: int = 5


def test_a_setting_that_an_older_release_does_not_have_is_refused_only_where_it_was_asked_for(tmp_path):
    measured = _list_options(tmp_path, NewerSettings(**OLDER), None)
    assert measured == ["--latency-samples", "77", "--latency-limit-s", "1.5"]
    with pytest.raises(ToolchainError) as caught:
        _list_options(tmp_path, NewerSettings(power_samples=6), None)
    assert (caught.value.code, caught.value.where) == (ExitCode.ROLLED_BACK, "power_samples")
    assert caught.value.fix


@pytest.mark.parametrize("file", ["agent/measure/arguments.py", "agent/arguments.py"])
def test_an_older_release_is_told_what_was_proven_if_it_knows_the_option(tmp_path, file):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("")
    assert "--pinned" not in _list_options(tmp_path, MeasureSettings(), "int8")
    (tmp_path / file).write_text('parser.add_argument("--pinned")')
    assert _list_options(tmp_path, MeasureSettings(), "int8")[-2:] == ["--pinned", "int8"]
    assert "--pinned" not in _list_options(tmp_path, MeasureSettings(), None)


def test_a_self_test_looks_for_modules_in_its_release_in_python_and_in_what_is_installed(board, quick, sign, tmp_path):
    site = tmp_path / f"home/.local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    site.mkdir(parents=True)
    board.environment = {**board.environment, "HOME": str(tmp_path / "home"), "PYTHONUSERBASE": ""}
    answer = board.install(sign(quick(body="code, reasons = 18, [json.dumps([sys.path, sys.flags.isolated])]")))
    path, isolated = json.loads(answer.document["measurements"]["reasons"][0])
    assert isolated == 1
    assert path[0].endswith(f"releases/{answer.document['bundle_id']}")
    assert "" not in path
    of_python = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sysconfig.get_path("purelib")}
    assert not [found for found in path[1:] if found.startswith(str(tmp_path))]
    assert of_python & set(path)
