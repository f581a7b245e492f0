"""`inspect` says what is there and runs nothing; what is broken, changed or no model is refused."""

import io
import json
import os

import onnx
import pytest

from tests.conftest import build_model
from toolchain.errors import ExitCode, ToolchainError
from toolchain.measure.inspect import find_reasons, inspect_path
from toolchain.measure.print_inspection import print_inspection
from toolchain.project.find import list_targets
from toolchain.run.progress import Progress


def inspect(path):
    return inspect_path(path, progress=Progress(stream=io.StringIO(), quiet=True))


def show(found):
    stream = io.StringIO()
    print_inspection(found, stream=stream)
    return " ".join(stream.getvalue().split())


def refuse(path):
    with pytest.raises(ToolchainError) as caught:
        inspect(path)
    assert caught.value.fix
    return caught.value


@pytest.fixture
def write_text(tmp_path, monkeypatch):
    """Return a function that writes a model in ONNX's text form as a file."""
    monkeypatch.chdir(tmp_path)

    def write(text):
        path = tmp_path / "net.onnx"
        path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
        return path

    return write


def test_a_file_is_told_with_what_every_target_takes(write_model):
    found = inspect(write_model("float32"))
    json.dumps(found, allow_nan=False)
    assert found["graph"]["macs"] == 13856
    assert list(dict.fromkeys(target["target"] for target in found["targets"])) == list(list_targets())
    cpu = next(target for target in found["targets"] if target["target"] == "cpu")
    assert (len(cpu["int8"]), cpu["int8_share_macs"], cpu["kept_in_float"]) == (2, 1.0, {})
    text = show(found)
    assert "input input float32 (N, 3, 8, 8)" in text
    assert "onnxruntime int8, float32 2 of 2 100.0 %" in text


def test_a_layer_that_stays_in_float_has_its_reason_and_its_share_is_not_int8s(write_text):
    path = write_text(
        """<ir_version: 9, opset_import: ["" : 17]> net (float[1,8,8] x, float[1,8,8] z) => (float[1,8,8] y)
        < float[8,8] w > { a = MatMul (x, w) b = MatMul (a, z) y = Relu (b) }"""
    )
    model = onnx.load(path)
    del model.graph.initializer[:]
    model.graph.initializer.append(onnx.helper.make_tensor("w", 1, [8, 8], [0.5] * 64))
    onnx.save(model, path)
    cpu = next(target for target in inspect(path)["targets"] if target["target"] == "cpu")
    assert (len(cpu["int8"]), cpu["int8_share_macs"]) == (1, 0.5)
    assert set(cpu["kept_in_float"].values()) == {"a product of two activations"}
    assert "onnxruntime, in float: MatMul_b: a product of two activations" in show(inspect(path))


def test_a_model_that_came_quantized_has_no_plan(write_model):
    found = inspect(write_model("int8"))
    assert all(target["came_quantized"] and target["int8_share_macs"] is None for target in found["targets"])
    assert "came quantized" in show(found)


def test_an_operator_that_a_runtime_does_not_take_is_told(write_text):
    path = write_text(
        '<ir_version: 9, opset_import: ["" : 17]> net (float[1,4] x) => (float[1,4] y) { y = Bernoulli (x) }'
    )
    refused = {target["target"]: target["refused"] for target in inspect(path)["targets"]}
    assert "Bernoulli" in refused["jetson"]
    assert "refused" in show(inspect(path))


def test_a_bundle_is_told_with_its_payloads(make_bundle):
    folder = make_bundle()
    found = inspect(folder)
    json.dumps(found, allow_nan=False)
    assert (found["kind"], found["model"], found["signed"]) == ("bundle", "small", False)
    assert [candidate["precision"] for candidate in found["candidates"]] == ["int8", "float32"]
    assert found["candidates"][1]["graph"]["macs"] == 13856
    assert "model small for cpu" in show(found)


@pytest.mark.parametrize("name", ["bundle", "current"])
def test_a_bundle_is_found_in_a_deploys_folder_and_a_boards(make_bundle, tmp_path, name):
    (tmp_path / name).symlink_to(make_bundle())
    assert inspect(tmp_path)["model"] == "small"


def test_a_bundle_whose_payload_was_changed_is_exit_11(make_bundle):
    folder = make_bundle()
    path = folder / "payload" / "int8" / "model.onnx"
    path.chmod(0o644)
    path.write_bytes(build_model("float32"))
    assert refuse(folder).code is ExitCode.CONTENT


@pytest.mark.parametrize("kind", ["nothing", "a folder", "a pipe", "another file"])
def test_what_is_no_model_is_exit_2(tmp_path, kind):
    path = tmp_path / ("net.txt" if kind == "another file" else "net.onnx")
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "another file":
        path.write_bytes(build_model("float32"))
    assert refuse(path).code is ExitCode.USAGE


@pytest.mark.parametrize("content", [b"", b"no model", build_model("float32")[:-40]])
def test_a_broken_file_is_exit_23(tmp_path, content):
    (tmp_path / "net.onnx").write_bytes(content)
    assert refuse(tmp_path / "net.onnx").code is ExitCode.MALFORMED


def test_layers_are_grouped_by_their_reason():
    assert find_reasons({"a": "x", "b": "y", "c": "y"}) == {"y": ["b", "c"], "x": ["a"]}
