"""A change rebuilds what depends on it, and what is damaged in the cache is built again; all keys: tests/stages/test_keys.py."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file


def list_rebuilt(project):
    """Deploy, and return the stages that were built; deploy and verify are about the board, and never cached."""
    project.assert_passed(project.deploy())
    stages = project.read_report()["stages"]
    assert [stage["name"] for stage in stages if stage["sha256"] is None] == ["deploy", "verify"]
    return [stage["name"] for stage in stages[:-2] if not stage["cached"]]


def test_a_second_run_rebuilds_nothing(cached_project):
    assert list_rebuilt(cached_project) == []


@pytest.mark.parametrize(
    ("old", "new", "rebuilt"),
    [
        ("metric_drop_max = 0.05", "metric_drop_max = 0.06", ["bundle"]),
        ('"minmax"', '"mse"', ["lower-int8", "explain", "bundle"]),
        ("[gates]", "# what must hold\n[gates]", []),
    ],
)
def test_a_change_of_the_recipe_rebuilds_what_depends_on_it(cached_project, old, new, rebuilt):
    cached_project.edit_recipe(old, new)
    assert list_rebuilt(cached_project) == rebuilt


def test_other_weights_rebuild_everything(cached_project):
    tensors = load_file(cached_project.weights)
    save_file({name: array * np.float32(1.001) for name, array in tensors.items()}, cached_project.weights)
    everything = ["evidence", "export", "optimize", "golden", "lower-int8", "lower-float32", "explain", "bundle"]
    assert list_rebuilt(cached_project) == everything


def test_a_damaged_entry_of_the_cache_is_built_again_and_not_used(cached_project, deployed):
    (payload,) = cached_project.cache.glob("lower-int8/*/model.onnx")
    payload.write_bytes(payload.read_bytes()[:-1])
    (golden,) = cached_project.cache.glob("bundle/*/bundle/golden")
    (golden / "extra").touch()
    assert list_rebuilt(cached_project) == ["lower-int8", "bundle"]
    assert cached_project.read_report()["bundle_id"] == deployed.read_report()["bundle_id"]
