"""What must hold of a slim install, as a machine in a lab has it; tests/wheel/run.py makes one from the wheel and runs this."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.wheel.size import measure_size
from toolchain.agent.manifest import read_manifest

# The issue's own bound, in bytes: everything that a new environment with pip takes.
SIZE_BYTES_MAX = 300 * 10**6
SLIM = Path(os.environ["EDGE_SLIM"])
QUICK = ("--quiet", "--latency-samples", "64", "--latency-limit-s", "0.1")
TARGET = 'runtime = "onnxruntime"\nprecision = ["int8"]\nsignature = "optional"\nemulated = true\n'


@pytest.fixture
def run(tmp_path):
    """Return a function that runs the slim install's command in a folder with a target, and returns the code and both outputs."""
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets/cpu.toml").write_text(TARGET)
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run_command(*arguments):
        command = [SLIM / "bin/toolchain", *map(str, arguments)]
        environment = {**own, "TOOLCHAIN_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    return run_command


@pytest.fixture
def damaged(make_bundle, tmp_path):
    bundle = make_bundle().rename(tmp_path / "damaged")
    (bundle / "payload/int8/model.onnx").write_bytes(b"other")
    return bundle


def test_it_is_small_and_has_nothing_that_makes_models():
    size_bytes = measure_size(SLIM)
    assert 100 * 10**6 < size_bytes <= SIZE_BYTES_MAX  # onnxruntime and numpy alone are more than the first
    script = "import importlib.util as i; print([n for n in ('torch', 'onnxsim', 'matplotlib') if i.find_spec(n)])"
    done = subprocess.run([SLIM / "bin/python", "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_it_lacks_nothing_of_its_own(run):
    code, stdout, stderr = run("doctor", "--json")
    findings = json.loads(stdout)
    assert code == 0, stderr
    assert {finding["name"] for finding in findings["needed"]} >= {"numpy", "onnx", "onnxruntime"}
    assert findings["extras"]["build"][0]["fix"] == "python -m pip install 'edge-toolchain[build]'"


def test_a_good_bundle_passes_and_a_damaged_one_does_not(run, make_bundle, damaged, tmp_path):
    good = make_bundle()
    assert [run("verify", bundle, *QUICK)[0] for bundle in (good, damaged)] == [0, 11]
    assert [run("inspect", bundle, "--quiet")[0] for bundle in (good, damaged)] == [0, 11]
    assert [run("deploy", bundle, "--out", tmp_path / "out", *QUICK)[0] for bundle in (good, damaged)] == [0, 11]


def test_a_bundle_goes_to_a_board_and_its_status_is_told(run, make_bundle, damaged, native, tmp_path):
    device = native.describe(target="cpu", python=str(SLIM / "bin/python"))
    (tmp_path / "devices.toml").write_text(device)
    bundle = make_bundle()
    code, _, stderr = run("deploy", bundle, "--device", "native", "--out", tmp_path / "out", *QUICK)
    assert code == 0, stderr
    assert json.loads((tmp_path / "out/report.json").read_text())["device"]["name"] == "native"
    assert "PASS" in (tmp_path / "out/report.html").read_text()
    assert run("deploy", damaged, "--device", "native", "--out", tmp_path / "out", *QUICK)[0] == 11
    code, stdout, stderr = run("status", "--device", "native", "--json")
    assert (code, json.loads(stdout)["current"]) == (0, read_manifest(bundle)[1]), stderr


def test_what_makes_models_says_what_to_install(run):
    code, _, stderr = run("deploy", "resnet8")
    assert code == 3
    assert stderr.endswith("fix: python -m pip install 'edge-toolchain[build]'\n")
