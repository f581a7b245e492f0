"""A metric and a decoder that a recipe names as FILE.py:NAME, through the real command, and what must not pass by them."""

import json
import subprocess
import sys

import pytest

from tests.tiny_project import cached_project, deployed, project, shared_cache, tiny

__all__ = ["cached_project", "deployed", "project", "shared_cache", "tiny"]

WITHIN_TWO = """
import numpy as np

TARGETS = ("labels",)
OUTPUTS = ("two",)


def best_two(outputs, inputs):
    return {"two": np.argsort(-outputs["output"], axis=1)[:, :2]}


def within_two(outputs, targets):
    print("{}")
    return (outputs["two"] == targets["labels"][:, None]).any(axis=1)
"""
PASSES = "    return (outputs"


def use_file(project, text):
    path = project.folder / "models/tiny/my_metric.py"
    path.write_text(text)
    project.edit_recipe(
        "[data]\n", '[output]\ndecode = "my_metric.py:best_two"\n\n[data]\nmetric = "my_metric.py:within_two"\n'
    )
    return path


def test_a_metric_and_a_decoder_of_the_recipe_are_measured_ride_in_the_bundle_and_judge_it_nowhere_changed(
    cached_project,
):
    path = use_file(cached_project, WITHIN_TWO)
    cached_project.assert_passed(cached_project.deploy())
    metric = cached_project.read_report()["metric"]
    assert (metric["name"], metric["direction"], metric["drop_upper"] is None) == ("within_two", "higher", False)
    bundle = cached_project.out / "bundle"
    for place in ("metrics/within_two.py", "decoders/best_two.py"):
        assert (bundle / "agent/measure" / place).read_text() == WITHIN_TWO
    members = [f"--member={kind}={path}" for kind in ("metrics:within_two", "decoders:best_two")]
    assert cached_project.run("verify", bundle, *members).code == 0
    # A board has nothing but the bundle.
    assert json.loads(verify_alone(bundle, 0))["exit_code"] == 0
    # Without the file nothing here can measure it: the copy in the bundle is not run.
    result = cached_project.run("verify", bundle)
    cached_project.assert_message(result.stderr, "malformed")
    assert (result.code, "--member metrics:NAME=FILE.py" in result.stderr) == (23, True)
    # Another metric of that name has another value for the float model.
    path.write_text(WITHIN_TWO.replace(PASSES, "    return np.ones(len(outputs['two']))  #"))
    result = cached_project.run("verify", bundle, *members)
    cached_project.assert_message(result.stderr, "content")
    assert result.code == 11
    # Nor is one that was laid into the bundle.
    (bundle / "agent/measure/metrics/within_two.py").write_text(path.read_text())
    assert "agent/measure/metrics/within_two.py" in verify_alone(bundle, 11)


def verify_alone(bundle, code):
    alone = [sys.executable, "-B", "-m", "agent", "verify", "."]
    done = subprocess.run(alone, cwd=bundle, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        (PASSES, "    return np.ones(len(outputs['two']))  #", 2, "not better than chance"),
        (PASSES, "    return targets['labels'] % 2  #", 2, "not better than chance"),
        (PASSES, "    raise SystemExit(0)\n    (outputs", 2, "the metric within_two ends the process"),
        (PASSES, "    return 'all right'\n    (outputs", 2, "'all right'"),
        ('    return {"two"', '    exit()\n    {"two"', 2, "the decoder best_two ends the process"),
        (
            '    return {"two"',
            '    outputs = {"output": inputs["input"].reshape(len(inputs["input"]), -1)[:, :4]}\n    return {"two"',
            2,
            "any model",
        ),
        ("import numpy as np", "import numpy as np, socket", 2, "line 2: import socket"),
        ("def within_two", "def within", 2, "a function or a class within_two"),
    ],
)
def test_what_proves_nothing_or_does_more_than_compute_never_passes(project, old, new, code, words):
    assert old in WITHIN_TWO
    use_file(project, WITHIN_TWO.replace(old, new))
    result = project.deploy()
    assert (result.code, words in result.stderr) == (code, True), result.stderr
    assert "fix: " in result.stderr
    assert not (project.out / "bundle").exists()
