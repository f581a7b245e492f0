"""The reference is the model that the user brought, never ours of it."""

import json

import pytest

PRUNED = '\n[[compress]]\nmethod = "magnitude_pruning"\namount = 0.97\n'


def append_to_recipe(project, text):
    with (project.folder / "models/tiny/recipe.toml").open("a") as file:
        file.write(text)


def test_a_model_that_pruning_destroyed_is_exit_18_without_labels(project):
    project.edit_recipe("calibration_samples = 32", 'calibration_samples = 32\nmetric = "none"')
    project.edit_recipe("metric_drop_max = 0.05", "")
    append_to_recipe(project, PRUNED)
    report = project.assert_refused(project.deploy(), 18, "fail")
    assert "drifts from the model that was brought" in report["reasons"][0]
    parity, drift = report["parity"][0], report["drift"][0]
    assert parity["passed"]  # the payload is what was lowered, and that proves nothing of the user's model
    assert drift["sqnr_db"] < 20 < parity["sqnr_db"]


def test_a_model_that_pruning_destroyed_is_exit_24_where_the_recipe_sets_no_limit(project):
    project.edit_recipe("metric_drop_max = 0.05", "")
    append_to_recipe(project, PRUNED)
    report = project.assert_refused(project.deploy(), 24, "fail")
    gate = next(gate for gate in report["gates"] if gate["name"] == "metric")
    assert (gate["status"], gate["required"]) == ("failed", "≤ 1.00 points (default)")


def test_the_same_is_proven_where_the_recipe_asks_for_no_more(project):
    project.edit_recipe("metric_drop_max = 0.05", "metric_drop_max = 1.0")
    append_to_recipe(project, PRUNED)
    result = project.deploy()
    project.assert_passed(result)
    assert project.read_report()["drift"][0]["sqnr_db"] < 20


def test_a_demanded_precision_fails_where_another_would_ship(project):
    project.edit_recipe("metric_drop_max = 0.05", "sqnr_db_min = { int8 = 90.0 }\nmetric_drop_max = 0.05")
    project.assert_passed(project.deploy())
    assert project.read_report()["shipped"]["precision"] == "float32"
    project.edit_recipe("metric_drop_max = 0.05", 'metric_drop_max = 0.05\nprecision_required = "int8"')
    report = project.assert_refused(project.deploy(), 19, "fail")
    assert any("demands int8" in reason for reason in report["reasons"])
    # At 90 dB every layer is kept in float: what is called int8 is none.
    assert "no layer ran in int8" in report["reasons"][0]
    project.edit_recipe('precision_required = "int8"', 'precision_required = "fp16"')
    project.assert_stopped(project.deploy(), 2, "usage")


@pytest.fixture
def float_shipped(project):
    """Return a project whose int8 was rejected: float is proven, and pinned."""
    project.edit_recipe("metric_drop_max = 0.05", "sqnr_db_min = { int8 = 90.0 }\nmetric_drop_max = 0.05")
    project.assert_passed(project.deploy())
    return project


def test_verify_proves_the_payload_that_was_shipped_or_fails(float_shipped):
    bundle = float_shipped.out / "bundle"
    proven = float_shipped.run("verify", bundle, "--json")
    assert (proven.code, json.loads(proven.stdout)["shipped"]["precision"]) == (0, "float32")
    # Pinned to the rejected one, verify says no, and does not turn to the other.
    pin = json.loads((bundle / "shipped.json").read_text())
    manifest = json.loads((bundle / "manifest.json").read_text())
    entry = next(entry for entry in manifest["files"] if entry["path"] == manifest["candidates"][0]["path"])
    pin["shipped"] = {"precision": "int8", "runtime": "onnxruntime", "threads": 1, "pins_threads": False, **entry}
    (bundle / "shipped.json").write_text(json.dumps(pin))
    refused = float_shipped.run("verify", bundle, "--json")
    report = json.loads(refused.stdout)
    assert (refused.code, report["verdict"], report["shipped"]) == (19, "fail", None)
    pin["bundle_id"] = "0" * 64
    (bundle / "shipped.json").write_text(json.dumps(pin))
    assert float_shipped.run("verify", bundle).code == 11


def test_a_strangers_bundle_runs_nothing_on_the_host(deployed_copy, tmp_path):
    from toolchain.agent.contents import compute_sha256

    bundle = deployed_copy.out / "bundle"
    marker = tmp_path / "executed"
    program = f'open({str(marker)!r}, "w")\nprint(\'{{"verdict": "pass", "exit_code": 0}}\')\n'
    manifest = json.loads((bundle / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["path"].startswith("agent/") and entry["path"].endswith(("__main__.py", "__init__.py", "verify.py")):
            path = bundle / entry["path"]
            path.write_text(program)
            entry.update(size_bytes=path.stat().st_size, sha256=compute_sha256(path))
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    (bundle / "shipped.json").unlink()
    result = deployed_copy.run("verify", bundle)
    assert result.code == 0  # its payloads are good, and judged by the host's own agent
    assert not marker.exists()
    assert "SQNR" in result.stdout
