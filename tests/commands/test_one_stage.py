"""The commands of one stage, and those that compare and measure: by the real command, on the tiny project."""

import json

import numpy as np
import onnx
import pytest
from PIL import Image
from safetensors.numpy import load_file


@pytest.fixture
def float_onnx(deployed, project):
    """Return the tiny net as an ONNX file that came from somewhere else."""
    path = project.folder / "net.onnx"
    path.write_bytes((deployed.out / "bundle" / "payload" / "float32" / "model.onnx").read_bytes())
    return path


def read_one_document(text):
    """Return the one JSON document that stdout is."""
    assert text.count("\n") == 1
    return json.loads(text)


def test_json_on_deploy_is_one_document_the_report(project):
    result = project.deploy("--json")
    project.assert_passed(result)
    assert read_one_document(result.stdout) == project.read_report()
    assert "PASS  tiny int8 on board" in result.stderr


def test_json_on_verify_is_one_document_and_nothing_is_written(deployed_copy):
    before = (deployed_copy.out / "report.json").read_bytes()
    result = deployed_copy.run("verify", deployed_copy.out / "bundle", "--json", "--quiet")
    assert result.code == 0
    report = read_one_document(result.stdout)
    assert (report["verdict"], report["bundle_id"]) == ("pass", json.loads(before)["bundle_id"])
    assert report["stages"] == []
    assert (deployed_copy.out / "report.json").read_bytes() == before
    deployed_copy.assert_nothing_half_written()


def test_quiet_shows_no_progress(project):
    assert project.deploy("--quiet").stderr == ""


def test_lower_leaves_the_payload_and_what_was_decided(project, float_onnx):
    lower = ["lower", float_onnx, "--target", "board", "--calibration", "data/tiny.npz", "-o", "lowered/int8"]
    result = project.run(*lower)
    assert result.code == 0, result.stderr
    assert result.stdout == "lowered/int8/model.onnx\n"
    folder = project.folder / "lowered" / "int8"
    assert sorted(path.name for path in folder.iterdir()) == ["lowering.json", "model.onnx"]
    lowering = json.loads((folder / "lowering.json").read_text())
    assert (lowering["runtime"], lowering["precision"]) == ("onnxruntime", "int8")
    assert {layer["name"] for layer in lowering["layers"]} | {layer["name"] for layer in lowering["kept_in_float"]} >= {
        node.name for node in onnx.load(float_onnx).graph.node if node.op_type == "Conv"
    }
    onnx.checker.check_model(onnx.load(folder / "model.onnx"), full_check=True)


def test_calibration_data_that_does_not_fit_the_model_is_exit_2(project, float_onnx):
    bad = project.folder / "bad.npz"
    np.savez(bad, input=np.zeros((4, 3, 9, 9), np.float32))
    result = project.run("lower", float_onnx, "--target", "board", "--calibration", bad, "-o", "lowered")
    project.assert_stopped(result, 2, "usage")
    assert f"{bad}: expected (any, 3, 8, 8), found (1, 3, 9, 9)" in result.stderr
    assert not (project.folder / "lowered").exists()


def test_export_writes_the_optimized_onnx_file(project):
    result = project.run("export", "tiny", "-o", "exported/net.onnx")
    assert (result.code, result.stdout) == (0, "exported/net.onnx\n")
    model = onnx.load(project.folder / "exported" / "net.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["input"]


def test_compress_writes_the_weights_of_the_smaller_model(project):
    project.edit_recipe("[gates]", '[[compress]]\nmethod = "magnitude_pruning"\namount = 0.5\n\n[gates]')
    result = project.run("compress", "tiny", "-o", "small.safetensors")
    assert (result.code, result.stdout) == (0, "small.safetensors\n")
    heads, *rows = [line.split() for line in result.stderr.splitlines()[-5:] if "─" not in line]
    assert heads[-2:] == ["before", "after"]
    table = {row[0]: row[1:] for row in rows if row}
    assert table["MACs"][0] == table["MACs"][1] != "0"  # zeros are multiplied all the same
    assert {"size", "top1"} <= table.keys()
    before, after = load_file(project.weights), load_file(project.folder / "small.safetensors")
    assert before.keys() == after.keys()
    share = np.mean([np.mean(after[name] == 0) for name in after if name.endswith("weight")])
    assert 0.3 < share < 0.7


def test_train_makes_weights_that_a_deploy_takes(project):
    generator = np.random.default_rng(0)
    for part, count in (("train", 16), ("test", 8)):
        for label in range(4):
            folder = project.folder / "pictures" / part / str(label)
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 60, (8, 8, 3)) + 60 * label
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    project.weights.unlink()
    project.edit_recipe(
        "[gates]",
        '[train]\ndata = "image_folder"\noptions = { folder = "../../pictures", size = 8 }\nbatch_size = 16\n\n[gates]',
    )
    result = project.run("train", "tiny", "--epochs", 1)
    assert result.code == 0, result.stderr
    assert result.stdout.startswith(str(project.weights))
    assert load_file(project.weights).keys() == {
        f"{layer}.{kind}" for layer in (0, 2, 6) for kind in ("weight", "bias")
    }
    provenance = json.loads(project.weights.with_suffix(".json").read_text())
    assert provenance["settings"]["epochs"] == 1


def test_compare_tells_how_far_two_models_are_apart_output_by_output_and_layer_by_layer(project, deployed, float_onnx):
    bundle = deployed.out / "bundle"
    result = project.run("compare", float_onnx, bundle, "--layers", "--json")
    assert result.code == 0, result.stderr
    rows = read_one_document(result.stdout)
    assert rows[-1]["output"] == "output"
    assert 20 < rows[-1]["sqnr_db"] < 200
    inner = [row["output"] for row in rows[:-1]]
    assert len(inner) >= 3
    order = [name for node in onnx.load(float_onnx).graph.node for name in node.output]
    assert inner == [name for name in order if name in inner]


def test_bench_measures_every_payload_against_the_first(project, deployed, float_onnx):
    result = project.run("bench", deployed.out / "bundle", float_onnx, "--json")
    assert result.code == 0, result.stderr
    rows = read_one_document(result.stdout)
    assert [row["payload"] for row in rows] == [str(deployed.out / "bundle"), str(float_onnx)]
    assert rows[0]["speedup"] is None
    assert rows[1]["speedup"]["low"] <= rows[1]["speedup"]["ratio"] <= rows[1]["speedup"]["high"]
    for row in rows:
        assert row["latency"]["samples"] >= 64
        assert row["latency"]["p50_ms"] <= row["latency"]["p50_upper_ms"] <= row["latency"]["p90_upper_ms"]


def test_doctor_says_what_is_here(project):
    result = project.run("doctor", "--json")
    findings = read_one_document(result.stdout)
    assert result.code == (0 if all(finding["ok"] for finding in findings["needed"]) else 3)
    assert findings["runtimes"]["onnxruntime"]["facts"]["runtime_version"]
    assert findings["cache"] == str(project.cache)


@pytest.mark.parametrize("command", ["models", "targets", "methods"])
def test_what_there_is_comes_as_text_and_as_json(project, command):
    names = read_one_document(project.run(command, "--json").stdout)
    lines = project.run(command).stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(names)
    own = {"models": "tiny", "targets": "board", "methods": "magnitude_pruning"}
    assert own[command] in names
