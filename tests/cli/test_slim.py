"""A slim install: the commands that boards and bundles need work without what makes models, and the others say what to install."""

import json
import subprocess
import sys
from importlib import metadata

import pytest

from toolchain.run.extras import BUILD, EXTRAS

# One process for all of them, in which none of these modules can be imported, and no process that it starts has a say.
WALK = """
import contextlib, io, json, sys
missing, commands = json.loads(sys.argv[1])
for name in missing:
    sys.modules[name] = None
from toolchain.cli import create_app
from toolchain.cli.exits import run_command
outcomes = []
for command in commands:
    sys.argv = ["toolchain", *command]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = run_command(create_app())
    outcomes.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(outcomes))
"""
SETTINGS = ("--quiet", "--latency-samples", "64", "--latency-limit-s", "0.1")
DEVICES = '[gone]\ntarget = "cpu"\nhost = "no-such-host.invalid"\n'


@pytest.fixture
def walk(tmp_path, monkeypatch):
    """Return a function that runs commands without some modules, and returns the code, stdout and stderr of each."""
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "cache"))

    def run(commands, missing=EXTRAS[BUILD]):
        texts = [list(map(str, command)) for command in commands]
        done = subprocess.run(
            [sys.executable, "-c", WALK, json.dumps([missing, texts])],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_a_machine_in_the_lab_needs_nothing_that_makes_models(walk, make_bundle, tmp_path):
    made_from = {"evaluation_sha256": "ab" * 32, "toolchain": "not what ran here"}
    bundle, damaged = make_bundle(provenance=made_from).rename(tmp_path / "good"), make_bundle()
    (damaged / "payload/int8/model.onnx").write_bytes(b"other")
    (tmp_path / "devices.toml").write_text(DEVICES)
    report = tmp_path / "out/report.json"
    expected = {
        ("--help",): 0,
        ("--version",): 0,
        ("models",): 0,
        ("targets",): 0,
        ("methods",): 0,
        ("cache",): 0,
        ("completion", "bash"): 0,
        ("schema", "target"): 0,
        ("schema", "device"): 0,
        ("doctor",): 0,
        ("inspect", bundle): 0,
        ("verify", bundle, *SETTINGS): 0,
        ("verify", damaged, *SETTINGS): 11,
        ("deploy", bundle, "--out", "out", *SETTINGS): 0,
        ("deploy", damaged, "--out", "other", *SETTINGS): 11,
        ("compare", report, report, "--gate"): 0,
        ("compare", bundle, bundle, "--layers", "--quiet"): 0,
        ("devices",): 0,
        ("status", "--device", "gone"): 16,
        ("rollback", "--device", "gone"): 16,
    }
    outcomes = walk(expected)
    for command, outcome in zip(expected, outcomes, strict=True):
        assert outcome[0] == expected[command], (command, outcome)
    assert json.loads(report.read_text())["provenance"]["toolchain"] == metadata.version("edge-toolchain")
    assert (tmp_path / "out/report.html").exists()


def test_what_makes_models_says_what_to_install_before_anything_else(walk, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"never read")
    commands = [
        ("deploy", "resnet8"),
        ("deploy", "no-such-model"),
        ("lower", "model.onnx", "--calibration", "data.npz", "-o", "out"),
        ("inspect", "model.onnx"),
        ("bisect", "model.onnx", "--calibration", "data.npz"),
        ("train", "resnet8"),
        ("export", "resnet8"),
        ("compress", "resnet8"),
        ("init", "mine", "--from", "model.onnx"),
        ("convert", "model.ckpt", "--model", "resnet8"),
        ("schema", "recipe"),
        ("schema", "--page"),
    ]
    for command, (code, _, stderr) in zip(commands, walk(commands), strict=True):
        assert code == 3, (command, stderr)
        assert stderr.startswith(f"missing: `toolchain {command[0]}"), command
        assert stderr.endswith("  fix: python -m pip install 'edge-toolchain[build]'\n")
    assert not (tmp_path / "out").exists()


def test_one_module_that_an_interrupted_install_left_out_is_named(walk):
    [(code, _, stderr)] = walk([("train", "resnet8")], missing=["torch_pruning"])
    assert (code, "found no torch_pruning\n" in stderr) == (3, True)
