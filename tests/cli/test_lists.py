"""What there is, is said at once: nothing that takes seconds to import is imported for it."""

import json
import subprocess
import sys

import pytest

_HEAVY = ("matplotlib", "numba", "onnx", "onnxruntime", "optuna", "scipy", "tensorrt", "torch", "torchvision")
_RUN = f"""
import json, sys
from toolchain.cli import main
sys.argv[0] = "toolchain"
try:
    main()
except SystemExit as end:
    print(json.dumps([end.code, sorted(set({_HEAVY!r}) & set(sys.modules))]), file=sys.stderr)
"""


def run(*arguments, folder):
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    code, heavy = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    return done.stdout, heavy


@pytest.mark.parametrize("arguments", [("models",), ("targets",), ("--help",), ("deploy", "--help")])
def test_a_list_imports_nothing_heavy(arguments, tmp_path):
    assert run(*arguments, folder=tmp_path)[1] == []


def test_a_command_that_needs_something_heavy_is_seen_to_import_it(tmp_path):
    assert "onnxruntime" in run("doctor", folder=tmp_path)[1]


@pytest.mark.parametrize(("kind", "name"), [("models", "mine"), ("targets", "mine")])
def test_what_the_project_has_is_listed_beside_what_is_built_in(kind, name, tmp_path):
    place = tmp_path / "models" / name / "recipe.toml" if kind == "models" else tmp_path / "targets" / f"{name}.toml"
    place.parent.mkdir(parents=True)
    place.write_text("")
    listed = json.loads(run(kind, "--json", folder=tmp_path)[0])
    assert name in listed
    assert {"resnet8"} <= listed.keys() if kind == "models" else {"cpu"} <= listed.keys()
