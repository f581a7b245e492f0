"""Completion in shells: the scripts are those shells' own language, and what they ask is answered."""

import shutil
import subprocess
import sys

import pytest

from toolchain.cli.completion import suggest_devices, suggest_models, suggest_targets


@pytest.fixture
def ask(monkeypatch, tmp_path):
    """Return a function that asks for what may stand at the end of a line, as bash does, in an empty folder."""

    def ask_as_bash(*words):
        environment = {"_TOOLCHAIN_COMPLETE": "complete_bash", "COMP_CWORD": str(len(words) - 1)}
        for name, value in {**environment, "COMP_WORDS": " ".join(words)}.items():
            monkeypatch.setenv(name, value)
        command = [sys.executable, "-m", "toolchain"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout.split()

    return ask_as_bash


def test_commands_and_the_names_of_targets_are_completed(ask):
    assert ask("toolchain", "dep") == ["deploy"]
    assert ask("toolchain", "deploy", "--target", "jetson") == ["jetson", "jetson-thor"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_its_shell(run, shell):
    code, script, stderr = run("completion", shell)
    assert (code, stderr) == (0, "")
    assert "_TOOLCHAIN_COMPLETE" in script
    if shutil.which(shell) is not None:
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_names_are_suggested_and_what_cannot_be_read_suggests_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "resnet8" in suggest_models()
    assert "cpu" in suggest_targets()
    assert suggest_devices() == []
    (tmp_path / "devices.toml").write_text("no TOML")
    assert suggest_devices() == []
    (tmp_path / "devices.toml").write_text('[lab]\ntarget = "cpu"\nhost = "lab"\n')
    assert suggest_devices() == ["lab"]
