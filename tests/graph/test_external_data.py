from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper, parser

from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.external_data import inline_external_data
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


def make_sharing(folder: Path, *places: tuple[int, int]) -> onnx.ModelProto:
    """A model of one tensor a place (offset and number of floats) in the file w.bin."""
    model = make_model()
    for number, (offset, count) in enumerate(places):
        tensor = model.graph.initializer.add(name=f"w{number}", data_type=TensorProto.FLOAT, dims=[count])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "w.bin"), ("offset", offset), ("length", 4 * count)):
            tensor.external_data.add(key=key, value=str(value))
    return model


def refuse_inline(model: onnx.ModelProto, path: Path) -> str:
    sizes: list[int] = []
    with pytest.raises(ToolchainError) as caught:
        inline_external_data(model, path, on_size=sizes.append)
    assert caught.value.code == ExitCode.MALFORMED
    assert sizes == []  # nothing was read
    return str(caught.value)


def test_tensors_beside_each_other_are_inlined(tmp_path):
    write_weights(tmp_path / "w.bin", (1, 2, 3, 4, 5, 6))
    model = make_sharing(tmp_path, (16, 2), (0, 4), (24, 0), (0, 0))
    assert inline_external_data(model, tmp_path / "model.onnx") == 24
    assert [numpy_helper.to_array(tensor).tolist() for tensor in model.graph.initializer[1:3]] == [[5, 6], [1, 2, 3, 4]]


@pytest.mark.parametrize("places", [((0, 4), (0, 4)), ((0, 4), (12, 2)), ((8, 1), (0, 6))])
def test_tensors_that_share_bytes_are_refused(tmp_path, places):
    write_weights(tmp_path / "w.bin", (1, 2, 3, 4, 5, 6))
    assert "share external data" in refuse_inline(make_sharing(tmp_path, *places), tmp_path / "model.onnx")


def test_two_spellings_of_one_file_share_it(tmp_path):
    write_weights(tmp_path / "w.bin")
    model = make_sharing(tmp_path, (0, 4), (0, 4))
    model.graph.initializer[-1].external_data[0].value = ".//w.bin"
    assert "share external data" in refuse_inline(model, tmp_path / "model.onnx")


def test_tensors_that_declare_more_than_two_gib_are_refused_before_any_file_is_looked_for(tmp_path):
    model = make_sharing(tmp_path, *[(number * 2**20, 2**18) for number in range(2048)])
    assert "too large" in refuse_inline(model, tmp_path / "model.onnx")


def test_a_hole_is_refused_and_as_many_written_bytes_are_not(tmp_path):
    size_bytes = 2**25
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(size_bytes)
    model = make_sharing(tmp_path, (0, size_bytes // 4))
    assert "mostly a hole" in refuse_inline(model, tmp_path / "model.onnx")
    (tmp_path / "w.bin").write_bytes(bytes(size_bytes))
    assert inline_external_data(model, tmp_path / "model.onnx") == size_bytes


@pytest.mark.parametrize("written_bytes", [2**20, 2**25])
def test_a_file_that_is_a_hole_in_part_is_read_where_half_of_it_was_written(tmp_path, written_bytes):
    with (tmp_path / "w.bin").open("wb") as file:
        file.write(bytes(written_bytes))
        file.truncate(2**26)
    model = make_sharing(tmp_path, (0, 2**24))
    if written_bytes == 2**25:
        assert inline_external_data(model, tmp_path / "model.onnx") == 2**26
    else:
        assert "mostly a hole" in refuse_inline(model, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"length": "4"}, "16 bytes, of its type and shape"),
        ({"length": "15"}, "16 bytes, of its type and shape"),
        ({"offset": "1_0"}, "offset in bytes"),
        ({"offset": "+0"}, "offset in bytes"),
        ({"offset": "9" * 5000}, "offset in bytes"),
        ({"offset": str(2**63)}, "a range inside"),
        ({"location": "*/_ORT_MEM_ADDR_/*"}, "without *"),
        ({"location": "w.bin\n\x1b[31mX"}, "printed letters"),
        ({"location": "model.onnx"}, "beside the model"),
    ],
)
def test_a_place_that_lies_is_refused_before_anything_is_read(tmp_path, keys, says):
    write_weights(tmp_path / "w.bin")
    (tmp_path / "model.onnx").write_bytes(bytes(16))
    model = make_sharing(tmp_path, (0, 4))
    for entry in model.graph.initializer[-1].external_data:
        entry.value = keys.get(entry.key, entry.value)
    assert says in refuse_inline(model, tmp_path / "model.onnx")


def test_a_key_that_is_stated_twice_is_refused(tmp_path):
    write_weights(tmp_path / "w.bin")
    model = make_sharing(tmp_path, (0, 4))
    model.graph.initializer[-1].external_data.add(key="location", value="other.bin")
    assert "each key once" in refuse_inline(model, tmp_path / "model.onnx")


def test_a_slice_without_a_length_is_as_long_as_its_tensor(tmp_path):
    write_weights(tmp_path / "w.bin", (1, 2, 3, 4, 5, 6))
    model = make_sharing(tmp_path, (4, 4))
    del model.graph.initializer[-1].external_data[2]
    inline_external_data(model, tmp_path / "model.onnx")
    assert numpy_helper.to_array(model.graph.initializer[-1]).tolist() == [2, 3, 4, 5]
