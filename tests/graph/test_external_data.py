from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper, parser

from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.file import read_onnx

ADD = """
<ir_version: 10, opset_import: ["" : 21]>
g (float[N, 4] x) => (float[N, 4] y) <float[4] w = {1.0, 2.0, 3.0, 4.0}> { y = Add (x, w) }
"""


def make_model() -> onnx.ModelProto:
    return parser.parse_model(ADD)


def make_external(folder: Path, **keys: str) -> Path:
    """A model whose weight w lies outside of it, as the given external_data entries say."""
    model = make_model()
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in keys.items():
        tensor.external_data.add(key=key, value=value)
    del model.graph.initializer[:]
    model.graph.initializer.append(tensor)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def write_weights(path: Path, values: tuple[float, ...] = (1, 2, 3, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.array(values, dtype=np.float32).tobytes())
    return path


def refuse(path: Path, code: ExitCode = ExitCode.MALFORMED) -> ToolchainError:
    with pytest.raises(ToolchainError) as caught:
        read_onnx(path)
    assert caught.value.code == code
    return caught.value


def test_external_data_beside_the_model_is_inlined(tmp_path):
    write_weights(tmp_path / "data" / "weights.bin", (9, 9, 1, 2, 3, 4))
    path = make_external(tmp_path, location="data/weights.bin", offset="8", length="16")
    for trusted in (False, True):
        tensor = read_onnx(path, trusted=trusted).graph.initializer[0]
        assert numpy_helper.to_array(tensor).tolist() == [1, 2, 3, 4]
        assert tensor.data_location == TensorProto.DEFAULT
        assert not tensor.external_data


def test_external_data_in_a_subgraph_is_inlined(tmp_path):
    write_weights(tmp_path / "w.bin")
    model = parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[4] x, bool c) => (float[4] y) {
        y = If (c) <then_branch = t () => (float[4] a) <float[4] w = {0, 0, 0, 0}> { a = Add (x, w) },
                    else_branch = e () => (float[4] b) { b = Relu (x) }> }"""
    )
    inner = next(a for a in model.graph.node[0].attribute if a.name == "then_branch").g.initializer[0]
    inner.CopyFrom(TensorProto(name="w", data_type=1, dims=[4], data_location=TensorProto.EXTERNAL))
    inner.external_data.add(key="location", value="w.bin")
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert b"\x00\x00\x80\x3f" in read_onnx(path).SerializeToString()


def test_external_data_outside_of_the_folder_is_refused(tmp_path):
    outside = write_weights(tmp_path / "secret.bin")
    folder = tmp_path / "model"
    folder.mkdir()
    for location in ("../secret.bin", str(outside), "data/../../secret.bin", "", "..\\secret.bin"):
        assert "inside the model's folder" in str(refuse(make_external(folder, location=location)))


def test_external_data_through_a_symbolic_link_is_refused(tmp_path):
    write_weights(tmp_path / "outside" / "secret.bin")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "outside" / "secret.bin")
    (folder / "data").symlink_to(tmp_path / "outside")
    for location in ("link.bin", "data/secret.bin"):
        assert "no link" in str(refuse(make_external(folder, location=location)))


def test_external_data_through_a_hard_link_is_refused(tmp_path):
    outside = write_weights(tmp_path / "secret.bin")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "hard.bin").hardlink_to(outside)
    assert "hard link" in str(refuse(make_external(folder, location="hard.bin")))


@pytest.mark.parametrize(
    "keys",
    [
        {"offset": "-4"},
        {"offset": "4"},
        {"length": "17"},
        {"length": "-1"},
        {"offset": "zero"},
        {"offset": "99999999999999999999"},
        {"__class__": "x"},
    ],
)
def test_external_data_with_a_wrong_slice_or_key_is_refused(tmp_path, keys):
    write_weights(tmp_path / "w.bin")
    refuse(make_external(tmp_path, **({"location": "w.bin", "length": "16"} | keys)))


def test_external_data_that_is_missing_or_a_folder_is_refused(tmp_path):
    refuse(make_external(tmp_path, location="none.bin"))
    (tmp_path / "folder").mkdir()
    refuse(make_external(tmp_path, location="folder"))


def test_external_data_shorter_than_its_shape_is_refused(tmp_path):
    write_weights(tmp_path / "w.bin", (1, 2))
    refuse(make_external(tmp_path, location="w.bin"))
