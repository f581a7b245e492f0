import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.file import read_onnx, write_onnx
from toolchain.run.confine import inside

ADD = """
<ir_version: 10, opset_import: ["" : 21]>
g (float[N, 4] x) => (float[N, 4] y) <float[4] w = {1.0, 2.0, 3.0, 4.0}> { y = Add (x, w) }
"""


def make_model() -> onnx.ModelProto:
    return parser.parse_model(ADD)


def refuse(path: Path, code: ExitCode = ExitCode.MALFORMED) -> ToolchainError:
    with pytest.raises(ToolchainError) as caught:
        read_onnx(path)
    assert caught.value.code == code
    return caught.value


def test_a_written_model_is_read_back_equal(tmp_path):
    path = tmp_path / "folder" / "model.onnx"
    write_onnx(make_model(), path, step="test")
    assert read_onnx(path) == make_model()
    assert read_onnx(path, trusted=True) == make_model()


def test_equal_models_give_equal_bytes(tmp_path):
    write_onnx(make_model(), tmp_path / "a.onnx", step="test")
    write_onnx(make_model(), tmp_path / "b.onnx", step="test")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ToolchainError) as caught:
        write_onnx(make_model(), path, step="test")
    assert caught.value.code == ExitCode.STORAGE
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    assert path.read_bytes() == b"old"


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ToolchainError) as caught:
        write_onnx(make_model(), tmp_path / "file" / "model.onnx", step="test")
    assert caught.value.code == ExitCode.STORAGE


def test_a_missing_file_and_a_folder_are_usage_errors(tmp_path):
    assert "does not exist" in refuse(tmp_path / "none.onnx", ExitCode.USAGE).what
    refuse(tmp_path, ExitCode.USAGE)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "model.onnx")
    refuse(tmp_path / "model.onnx", ExitCode.USAGE)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"no model at all, only words", "do not parse"),
        (pickle.dumps({"a": 1}), "pickle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"\x08\x0a", "neither"),
    ],
)
def test_a_file_of_another_format_is_refused_by_its_name(tmp_path, content, found):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert found in str(refuse(path))


def test_a_torch_archive_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    assert "zip" in str(refuse(path))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    data = make_model().SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    assert "truncated" in refuse(path).what


def test_deeply_nested_subgraphs_are_refused(tmp_path):
    graph = b""
    for _ in range(1000):
        attribute = b"\x32" + _varint(len(graph)) + graph  # AttributeProto.g
        node = b"\x2a" + _varint(len(attribute)) + attribute  # NodeProto.attribute
        graph = b"\x0a" + _varint(len(node)) + node  # GraphProto.node
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x0a\x3a" + _varint(len(graph)) + graph)
    refuse(path)


def test_raw_data_shorter_than_its_shape_is_refused(tmp_path):
    model = make_model()
    model.graph.initializer[0].CopyFrom(TensorProto(name="w", data_type=1, dims=[4], raw_data=b"\0" * 8))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert "'w'" in str(refuse(path)) or "w" in (refuse(path).found or "")


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def test_a_file_that_nobody_vouches_for_is_read_confined_or_not_at_all(tmp_path, monkeypatch):
    write_onnx(make_model(), tmp_path / "model.onnx", step="test")
    monkeypatch.setattr(inside, "is_confined", lambda: False)
    with pytest.raises(RuntimeError, match="confined"):
        read_onnx(tmp_path / "model.onnx")
    assert read_onnx(tmp_path / "model.onnx", trusted=True) == make_model()


def make_broken_models():
    """Return models that each break the rule of one maker for each tensor, and ones that are right."""
    ones, twos = (numpy_helper.from_array(np.full(3, value, np.float32), "a") for value in (1, 2))
    mul = helper.make_node("Mul", ["x", "a"], ["y"], "mul")
    return {
        "two initializers of one name": ([ones, twos], [mul]),
        "a node that makes an initializer": ([ones], [helper.make_node("Relu", ["x"], ["a"]), mul]),
        "two nodes that make one tensor": ([ones], [helper.make_node("Relu", ["x"], ["y"]), mul]),
        "a node before the one it reads": ([], [mul, helper.make_node("Relu", ["x"], ["a"])]),
        "a tensor that nobody makes": ([], [mul]),
    }


@pytest.mark.parametrize("kind", make_broken_models())
def test_no_invalid_graph_is_written_and_the_step_is_named(tmp_path, kind):
    initializers, nodes = make_broken_models()[kind]
    values = [helper.make_tensor_value_info(name, 1, [3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with pytest.raises(ToolchainError, match="packing made an invalid ONNX graph") as caught:
        write_onnx(model, tmp_path / "model.onnx", step="packing")
    assert caught.value.code == ExitCode.PARITY
    assert not (tmp_path / "model.onnx").exists()


def test_operators_that_only_onnxruntime_has_are_written(tmp_path):
    node = helper.make_node("QuickGelu", ["x"], ["y"], "gelu", domain="com.microsoft", alpha=1.0)
    values = [helper.make_tensor_value_info(name, 1, [3]) for name in ("x", "y")]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=opsets, ir_version=10
    )
    write_onnx(model, tmp_path / "model.onnx", step="lowering")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.zeros(3, np.float32)})[0].tolist() == [0.0, 0.0, 0.0]
