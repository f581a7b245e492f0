import io

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.measure.shipping import ship
from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower.fp16 import convert_to_float16
from toolchain.measure.compare import compare_models, judge_comparison, print_comparison
from toolchain.measure.payload import read_data
from toolchain.optimize import name_nodes


class Steps(list):
    """What on_progress got."""

    def __call__(self, step, done, total):
        self.append((step, done, total))


def compare(a, b, *, layers=False, steps=None):
    return compare_models(a, b, data=None, layers=layers, on_progress=Steps() if steps is None else steps)


def test_a_model_does_not_differ_from_itself(make_bundle):
    bundle = make_bundle()
    rows = compare(bundle, bundle, layers=True)
    assert rows[-1]["output"] == "logits"
    assert len(rows) > 1
    assert all((row["max_abs"], row["sqnr_db"], row["nonfinite"]) == (0.0, 200.0, 0) for row in rows)


def test_int8_differs_from_float_and_how_much_is_told(make_bundle, write_model):
    (row,) = compare(write_model("float32"), make_bundle())
    assert 20 < row["sqnr_db"] < 80
    assert row["max_abs"] >= row["p99_abs"] > 0


def test_layers_come_in_the_order_of_the_first_model_before_the_outputs(make_bundle, write_model):
    path = write_model("float32")
    rows = compare(path, make_bundle(), layers=True)
    names = [row["output"] for row in rows]
    order = [name for node in onnx.load(path).graph.node for name in node.output]
    # What int8 lacks, or holds as integers, is not compared.
    assert names == [name for name in order if name in names]
    assert names[-1] == "logits"
    assert {"hidden", "active"} <= set(names)
    assert rows[names.index("hidden")]["sqnr_db"] < 80


def test_the_layer_where_int8_leaves_float_is_named(write_model, make_bundle, tmp_path):
    path = write_model("float32")
    broken = onnx.load(path)
    weight = next(tensor for tensor in broken.graph.initializer if tensor.name == "w2")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.5), "w2"))
    onnx.save(broken, tmp_path / "broken.onnx")
    bundle = make_bundle()
    rows = compare_models(bundle, bundle, data=None, layers=True, on_progress=Steps())
    assert not any(row["leaves"] for row in rows)
    samples = tmp_path / "data.npz"
    np.savez(samples, input=np.random.default_rng(0).normal(size=(8, 3, 8, 8)).astype(np.float32))
    rows = compare_models(path, tmp_path / "broken.onnx", data=read_data(samples), layers=True, on_progress=Steps())
    assert [(row["output"], row["op"]) for row in rows if row["leaves"]] == [("logits", "Gemm")]
    stream = io.StringIO()
    print_comparison(rows, stream=stream)
    assert "(Gemm), tensor logits: 6.0 dB" in stream.getvalue()


def test_float16_is_compared_tensor_by_tensor_as_a_gpu_rounds_it(write_model, tmp_path):
    path = write_model("float32")
    onnx.save(convert_to_float16(name_nodes.apply(onnx.load(path)).model), tmp_path / "half.onnx")
    samples = tmp_path / "data.npz"
    np.savez(samples, input=np.random.default_rng(0).normal(size=(8, 3, 8, 8)).astype(np.float32))
    rows = compare_models(path, tmp_path / "half.onnx", data=read_data(samples), layers=True, on_progress=Steps())
    assert [row["output"] for row in rows] == ["hidden", "active", "pooled", "flat", "logits"]
    assert all(50 < row["sqnr_db"] < 90 for row in rows)


def test_models_without_a_common_inner_tensor_are_compared_by_their_outputs_alone(make_bundle, write_model, tmp_path):
    path = tmp_path / "renamed.onnx"
    model = onnx.load(write_model("float32"))
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name in {"hidden", "active", "pooled", "flat"}:
                    names[index] = f"{name}_renamed"
    onnx.save(model, path)
    assert [row["output"] for row in compare(path, make_bundle(), layers=True)] == ["logits"]


def test_of_two_bundles_what_ships_is_compared(make_bundle, write_model):
    bundle = make_bundle(candidates={"int8": write_model("int8"), "float32": write_model("float32")})
    (row,) = compare(write_model("float32"), bundle)
    assert row["sqnr_db"] < 80
    assert row["b"] == f"int8 of {bundle}, the first: none has been proven yet"
    ship(bundle, 1)
    (row,) = compare(write_model("float32"), bundle)
    assert row["sqnr_db"] == 200.0
    assert row["b"] == f"float32 of {bundle}, which ships"


def test_not_a_number_is_counted(make_bundle, write_model):
    (row,) = compare(make_bundle(), write_model("nan"))
    assert row["nonfinite"] == 4 * 64


def test_outputs_of_other_names_are_exit_18(make_bundle, write_model):
    with pytest.raises(ToolchainError) as caught:
        compare(make_bundle(), write_model("float32", output="scores"))
    assert caught.value.code == ExitCode.PARITY


@pytest.mark.parametrize(("layers", "total"), [(False, 64), (True, 64)])
def test_progress_comes_run_by_run(make_bundle, layers, total):
    steps = Steps()
    bundle = make_bundle()
    compare(bundle, bundle, layers=layers, steps=steps)
    assert steps == [("compare", done, total) for done in range(1, total + 1)]


def test_the_table_has_a_line_per_tensor():
    row = {"output": "logits", "sqnr_db": 36.71, "cosine": 0.9999, "max_abs": 0.387, "p99_abs": 0.1, "nonfinite": 3}
    row |= {"a": "net.onnx", "b": "int8 of dist/bundle, which ships"}
    stream = io.StringIO()
    print_comparison([row, {**row, "output": "a/very/long/name/" * 6}], stream=stream)
    lines = stream.getvalue().splitlines()
    assert lines[1].split() == ["logits", "36.7", "0.999900", "0.387", "0.1", "3"]
    assert lines[2].split()[0] == "a/very/long/name/" * 6
    assert lines[3:] == ["A is net.onnx", "B is int8 of dist/bundle, which ships"]


def test_the_gate_is_on_every_output_and_on_nothing_inside(write_model, make_bundle):
    rows = compare(write_model("float32"), make_bundle(), layers=True)
    found_db = rows[-1]["sqnr_db"]
    assert judge_comparison(rows, found_db) == []
    assert judge_comparison(rows, found_db + 0.1) == [
        f"logits keeps {found_db:.1f} dB, the gate is {found_db + 0.1:g} dB"
    ]
    inner = [{**row, "sqnr_db": -5.0} if not row["is_output"] else row for row in rows]
    assert judge_comparison(inner, found_db) == []


def test_an_output_with_nan_passes_no_gate():
    rows = [{"output": "logits", "is_output": True, "sqnr_db": -200.0, "nonfinite": 3}]
    assert judge_comparison(rows, 20.0)
