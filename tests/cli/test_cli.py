import json
import subprocess
import sys
from importlib import metadata

import pytest

from toolchain.cli import create_app

COMMANDS = {
    *("deploy", "lower", "verify", "compare", "bench", "compress", "export", "train", "doctor", "inspect"),
    *("models", "targets", "devices", "methods", "status", "rollback", "enroll", "bisect", "cache"),
    *("init", "convert", "schema", "completion"),
}


def test_there_are_the_commands_of_the_contract():
    assert {command.callback.__name__ for command in create_app().registered_commands} == COMMANDS


def test_no_command_shows_the_help_and_is_exit_2(run):
    code, stdout, stderr = run()
    assert (code, stderr) == (2, "")
    assert set(stdout.split()) >= COMMANDS


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(run, command):
    code, stdout, _ = run(command, "--help")
    assert code == 0
    assert f"toolchain {command}" in stdout
    assert run(command, "-h") == (0, stdout, "")


def test_the_version_is_told(run):
    assert run("--version") == (0, f"toolchain {metadata.version('edge-toolchain')}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["deploy"], "model"),
        (["deploy", "nothing"], "no model is called nothing"),
        (["deploy", "resnet8", "--target", "moon"], "no target is called moon"),
        (["deploy", "resnet8", "--device", "lab"], "no device is called lab"),
        (["deploy", "none/recipe.toml"], "does not exist"),
        (["deploy", "none.onnx"], "does not exist"),
        (["verify", "none", "--device", "lab"], "no device is called lab"),
        (["lower", "none.onnx"], "--calibration"),
        (["train", "resnet8", "--epochs", "0"], "--epochs"),
        (["compress", "resnet8"], "compresses nothing"),
        (["compare", "none.onnx", "other.onnx"], "there is no model"),
        (["bench"], "payloads"),
        (["bench", "none.onnx", "--threads", "0"], "--threads"),
        (["doctor", "--device", "lab"], "no device is called lab"),
        (["status", "--device", "lab"], "no device is called lab"),
        (["rollback"], "--device"),
        (["enroll", "lab", "--signers", "none"], "no device is called lab"),
        (["models", "--all"], "--all"),
        (["inspect", "none.onnx"], "there is nothing to inspect"),
        (["init", "net"], "--from"),
        (["init", "a/b", "--from", "none.onnx"], "cannot have this name"),
        (["init", "net", "--from", "none.onnx"], "there is no such file"),
        (["convert", "none.pt"], "--model"),
        (["schema", "report"], "recipe"),
        (["completion", "tcsh"], "bash"),
    ],
)
def test_a_wrong_command_line_is_exit_2_says_why_and_leaves_nothing(run, tmp_path, arguments, message):
    code, stdout, stderr = run(*arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("usage: ")
    assert message in stderr
    assert "\n  fix: " in stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "fp16"], "does not list fp16"),
        (["--calibration", "data.npz"], "a recipe names its own data"),
        (["--latency-samples", "0"], "--latency-samples"),
        (["--sign", "none", "--expires-days", "0"], "--expires-days"),
    ],
)
def test_a_wrong_command_line_about_a_model_and_target_that_exist_is_reported_where_they_say(
    run, tmp_path, arguments, message
):
    code, stdout, stderr = run("deploy", "resnet8", *arguments)
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert "\n  fix: " in stderr
    out = tmp_path / "dist" / "resnet8" / "cpu"
    assert json.loads((out / "report.json").read_text())["exit_code"] == 2
    assert {path.name for path in out.iterdir()} == {".lock", "junit.xml", "report.html", "report.json", "summary.md"}


def test_a_bundle_that_is_not_there_is_exit_2(run):
    code, stdout, stderr = run("verify", "none", "--quiet")
    assert (code, stdout) == (2, "")
    assert stderr == "usage: there is no bundle folder none\n  fix: check the path\n"


def test_the_known_models_and_targets_are_listed_with_their_files(run):
    for command, name in (("models", "resnet8"), ("targets", "cpu")):
        code, stdout, _ = run(command, "--json")
        assert code == 0
        assert json.loads(stdout)[name].endswith(".toml")
        assert run(command)[1].splitlines()[0].split() == list(next(iter(json.loads(stdout).items())))


def test_devices_and_methods_are_listed(run):
    assert json.loads(run("devices", "--json")[1]) == {}
    assert "magnitude_pruning" in json.loads(run("methods", "--json")[1])


def test_the_command_starts_without_the_heavy_libraries():
    code = (
        "import sys, toolchain.cli, toolchain.pipeline\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'matplotlib', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("words", "found"), [((), "none"), (("a", "--device", "b"), "a and b")])
def test_a_board_is_enrolled_by_one_name_in_one_place(run, words, found):
    code, _, stderr = run("enroll", *words, "--signers", "signers")
    assert code == 2
    assert f"found {found}\n  fix: name them with --device" in stderr


def test_enroll_takes_devices_as_deploy_does_and_by_a_word_alone(run, tmp_path):
    (tmp_path / "devices.toml").write_text('[a]\ntarget = "cpu"\nhost = "a"\n')
    for words in (("--device", "a,b"), ("a,b",)):
        code, _, stderr = run("enroll", *words, "--signers", "signers")
        assert (code, "no device is called b" in stderr) == (2, True)
