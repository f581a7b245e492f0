"""Every bad file ends in a refusal within its limits and touches nothing; a good one of each family passes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile_models import FAMILIES
from tests.hostile_models.drive import CPU_MAX_S, Ending, lower
from tests.hostile_models.family import Family, Kind
from toolchain.errors import ExitCode

_KINDS_MIN = 160  # what the corpus was asked to have


def list_kinds() -> list[tuple[str, Kind]]:
    return [(f"{family.name}/{kind.name}", kind) for family in FAMILIES for kind in family.kinds]


def test_there_are_as_many_kinds_as_asked_for_and_each_has_its_name():
    names = [name for name, kind in list_kinds() if not kind.is_slow]
    assert len(names) >= _KINDS_MIN
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=name) for name, kind in list_kinds() if not kind.is_slow])
def test_a_bad_file_is_refused_within_its_limits_and_harms_nothing(kind, tmp_path):
    ending = lower(kind.make, tmp_path)
    assert ending.find_faults(kind.codes) == [], f"{kind.why}\n{ending.messages[-2000:]}"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_good_file_of_each_family_passes(family: Family, tmp_path):
    ending = lower(family.good, tmp_path)
    assert (ending.code, ending.left) == (ExitCode.PROVEN, ()), ending.messages
    assert (tmp_path / "out" / "model.onnx").is_file()


@pytest.mark.parametrize("place", ["functions/tens_40", "structure/circle", "bytes/truncated_60"])
def test_the_real_command_refuses_them_too(place, tmp_path):
    family_name, _, name = place.partition("/")
    (family,) = (family for family in FAMILIES if family.name == family_name)
    (kind,) = (kind for kind in family.kinds if kind.name == name)
    ending = lower(kind.make, tmp_path)
    command = [sys.executable, "-m", "toolchain", "lower", "models/model.onnx", "--target", "cpu"]
    command += ["--calibration", "calib.npz", "--out", "out"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == ending.code
    assert run.stderr.splitlines()[0] in ending.messages


def make_ending(**changes: object) -> Ending:
    values = {"code": 23, "messages": "malformed: no\n  fix: none", "cpu_s": 0.1, "memory_bytes": 2**28, "left": ()}
    return Ending(**values | changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"code": 0}, "exit code 0"),
        ({"code": 1}, "exit code 1"),
        ({"code": -11}, "exit code -11"),
        ({"cpu_s": CPU_MAX_S + 1}, "of CPU time"),
        ({"memory_bytes": 2**31}, "MiB"),
        ({"messages": "malformed: no"}, "without a fix"),
        ({"messages": "Traceback\n fix: none"}, "a traceback"),
        ({"left": ("changed canary.txt",)}, "changed canary.txt"),
    ],
)
def test_an_ending_that_must_not_be_is_found(changes, says):
    assert make_ending().find_faults(frozenset({ExitCode.MALFORMED})) == []
    assert says in make_ending(**changes).find_faults(frozenset({ExitCode.MALFORMED}))[0]


@pytest.mark.parametrize("name", ["canary.txt", "temporary/left", "stray", "models/stray", "out/model.onnx"])
def test_what_a_bad_file_leaves_is_found(name, tmp_path, monkeypatch):
    monkeypatch.setattr("toolchain.cli.exits.run_command", _write(tmp_path / name))
    assert len(lower(lambda _: b"", tmp_path).left) == 1


def _write(path: Path) -> Callable[[object], int]:
    def run_command(_: object) -> int:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"owned")
        return int(ExitCode.MALFORMED)

    return run_command
