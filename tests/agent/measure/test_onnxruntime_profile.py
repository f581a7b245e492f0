import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.onnxruntime_profile import read_layers, read_profile
from toolchain.agent.measure.session import find_runtime

runtime = find_runtime("onnxruntime")


def run_graph(tmp_path, text, feeds, **weights):
    model = onnx.parser.parse_model('<ir_version: 9, opset_import: ["" : 17, "com.microsoft" : 1]>' + text)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return runtime.read_placement(path, 1, feeds)


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype=dtype)


def test_a_profile_that_a_full_disk_cut_off_is_told_as_one(tmp_path):
    for content in (None, "", '[{"cat": "Node", "na'):
        path = tmp_path / "profile.json"
        if content is not None:
            path.write_text(content)
        with pytest.raises(ToolchainError) as caught:
            read_profile(path)
        assert caught.value.code is ExitCode.STORAGE
        assert "TMPDIR" in caught.value.fix
    path.write_text('[{"cat": "Node"}]')
    assert read_profile(path) == [{"cat": "Node"}]


def test_every_layer_of_a_float_model_ran_in_float(write_model, samples):
    placement = runtime.read_placement(write_model("float32"), 1, {"input": samples[0][:1]})
    assert [(layer.precision, layer.macs) for layer in placement.layers] == [
        ("float32", 8 * 8 * 8 * 3 * 9),
        ("float32", 8 * 4),
    ]
    assert placement.precision_share_macs == {"float32": 1.0}


def test_the_convolution_of_a_q_dq_model_ran_in_int8_and_the_rest_in_float(write_model, samples):
    placement = runtime.read_placement(write_model("int8"), 1, {"input": samples[0][:1]})
    assert [(layer.op, layer.precision) for layer in placement.layers] == [("QLinearConv", "int8"), ("Gemm", "float32")]
    assert placement.macs == 13824 + 32
    assert placement.precision_share_macs == {"float32": 0.002309, "int8": 0.997691}


def test_macs_grow_with_the_batch(write_model, samples):
    path = write_model("int8")
    one = runtime.read_placement(path, 1, {"input": samples[0][:1]})
    three = runtime.read_placement(path, 1, {"input": samples[0][:3]})
    assert three.macs == 3 * one.macs


def test_the_profile_leaves_no_file(write_model, samples, tmp_path, monkeypatch):
    path = write_model("int8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    runtime.read_placement(path, 1, {"input": samples[0][:1]})
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("transposed", [False, True])
def test_a_batched_product_counts_every_matrix(tmp_path, transposed):
    operator = "com.microsoft.FusedMatMul <transA = 1> (a, b)" if transposed else "MatMul (a, b)"
    shape = (5, 7) if transposed else (7, 5)
    placement = run_graph(
        tmp_path,
        f"net (float[2,3,{shape[0]},{shape[1]}] a, float[2,3,5,11] b) => (float[2,3,7,11] y) {{ y = {operator} }}",
        {"a": ones(2, 3, *shape), "b": ones(2, 3, 5, 11)},
    )
    assert placement.macs == 2 * 3 * 7 * 5 * 11


@pytest.mark.parametrize(
    ("a", "b", "y", "macs"),
    [((5,), (5, 11), (11,), 55), ((7, 5), (5,), (7,), 35), ((2, 7, 5), (5, 11), (2, 7, 11), 770)],
)
def test_a_product_of_vectors_and_of_broadcast_matrices_is_counted(tmp_path, a, b, y, macs):
    shapes = [",".join(map(str, shape)) for shape in (a, b, y)]
    text = "net (float[{}] a, float[{}] b) => (float[{}] y) {{ y = MatMul (a, b) }}".format(*shapes)
    assert run_graph(tmp_path, text, {"a": ones(*a), "b": ones(*b)}).macs == macs


def test_a_depthwise_convolution_counts_its_group_alone(tmp_path):
    text = "net (float[1,16,6,6] x) => (float[1,16,4,4] y) { y = Conv <group = 16> (x, w) }"
    assert run_graph(tmp_path, text, {"x": ones(1, 16, 6, 6)}, w=ones(16, 1, 3, 3)).macs == 16 * 16 * 9


def test_a_transposed_convolution_counts_what_it_spreads(tmp_path):
    text = "net (float[1,6,4,4] x) => (float[1,5,8,8] y) { y = ConvTranspose <strides = [2, 2]> (x, w) }"
    assert run_graph(tmp_path, text, {"x": ones(1, 6, 4, 4)}, w=ones(6, 5, 2, 2)).macs == 6 * 16 * 5 * 4


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_a_recurrent_layer_is_float_and_counts_every_step(tmp_path, op, gates):
    text = f"net (float[9,2,5] x) => (float[9,1,2,7] y) {{ y = {op} <hidden_size = 7> (x, w, r) }}"
    placement = run_graph(tmp_path, text, {"x": ones(9, 2, 5)}, w=ones(1, gates * 7, 5), r=ones(1, gates * 7, 7))
    assert placement.macs == 9 * 2 * gates * 7 * (5 + 7)
    assert placement.precision_share_macs == {"float32": 1.0}


def test_dynamically_quantized_products_are_int8(tmp_path):
    text = "net (float[4,8] x) => (float[4,3] y) { y = com.microsoft.DynamicQuantizeMatMul (x, w, scale, zero) }"
    weights = {"w": ones(8, 3, dtype=np.int8), "scale": ones(1), "zero": np.zeros(1, np.int8)}
    placement = run_graph(tmp_path, text, {"x": ones(4, 8)}, **weights)
    assert placement.precision_share_macs == {"int8": 1.0}
    assert placement.macs == 4 * 8 * 3


@pytest.mark.parametrize("fused", [True, False])
def test_products_that_share_a_dynamic_scale_are_int8_and_a_float_one_beside_them_is_not(tmp_path, fused):
    # Where one scale serves several products of one tensor, ONNX Runtime fuses nothing and MatMulInteger itself runs.
    second = "w2" if fused else "w1"
    text = (
        "net (float[4,8] x) => (float[4,3] y, float[4,3] z, float[4,5] f) { f = MatMul (x, v) i, s, o = "
        "DynamicQuantizeLinear (x) a = MatMulInteger (i, u, o) b = Cast <to = 1> (a) c = Mul (s, w1) y = Mul (b, c) "
        f"d = MatMulInteger (i, t, o) e = Cast <to = 1> (d) g = Mul (s, {second}) z = Mul (e, g) }}"
    )
    integers = {"u": ones(8, 3, dtype=np.int8), "t": 2 * ones(8, 3, dtype=np.int8)}
    placement = run_graph(
        tmp_path, text, {"x": ones(4, 8)}, v=ones(8, 5), w1=ones(3), w2=np.arange(3, dtype=np.float32), **integers
    )
    kinds = sorted((layer.op, layer.precision, layer.macs) for layer in placement.layers)
    operator = "MatMulIntegerToFloat" if fused else "MatMulInteger"
    assert kinds == [("MatMul", "float32", 4 * 8 * 5), *[(operator, "int8", 4 * 8 * 3)] * 2]


def test_attention_with_heads_counts_both_products(tmp_path):
    text = (
        "net (float[2,5,8] q, float[2,7,8] k, float[2,7,8] v) => (float[2,5,8] y) "
        "{ y = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v) }"
    )
    placement = run_graph(tmp_path, text, {"q": ones(2, 5, 8), "k": ones(2, 7, 8), "v": ones(2, 7, 8)})
    assert placement.macs == 2 * 5 * 7 * (8 + 8)


def test_attention_that_projects_counts_the_projection_too(tmp_path):
    text = "net (float[2,5,6] x) => (float[2,5,8] y) { y = com.microsoft.Attention <num_heads = 2> (x, w, b) }"
    placement = run_graph(tmp_path, text, {"x": ones(2, 5, 6)}, w=ones(6, 24), b=ones(24))
    assert placement.macs == 2 * 5 * 6 * 24 + 2 * 5 * 5 * (8 + 8)


def test_work_that_cannot_be_counted_is_named_and_not_taken_for_zero(tmp_path):
    text = 'net (float[4,8] a, float[8,3] b) => (float[4,3] y) { y = Einsum <equation = "ij,jk->ik"> (a, b) }'
    placement = run_graph(tmp_path, text, {"a": ones(4, 8), "b": ones(8, 3)})
    assert [layer.op for layer in placement.uncounted] == ["Einsum"]
    assert placement.macs == 0
    assert placement.precision_share_macs == {}


def test_layers_that_do_not_multiply_are_left_out(tmp_path):
    text = "net (float[4] x) => (float[4] y) { z = Relu (x)\n y = Sigmoid (z) }"
    assert run_graph(tmp_path, text, {"x": ones(4)}).layers == ()


def make_event(name, op, inputs, outputs):
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "args": {"op_name": op, "input_type_shape": inputs, "output_type_shape": outputs},
    }


def test_half_precision_is_fp16():
    event = make_event("mm", "MatMul", [{"float16": [2, 3]}, {"float16": [3, 4]}], [{"float16": [2, 4]}])
    assert read_layers([event])[0].precision == "fp16"


def test_the_steps_of_a_loop_add_up_to_one_layer():
    event = make_event("mm", "MatMul", [{"float": [2, 3]}, {"float": [3, 4]}], [{"float": [2, 4]}])
    layers = read_layers([event] * 5)
    assert [(layer.name, layer.macs) for layer in layers] == [("mm", 5 * 24)]


def test_events_that_are_no_kernels_are_ignored():
    event = make_event("mm", "MatMul", [{"float": [2, 3]}, {"float": [3, 4]}], [{"float": [2, 4]}])
    others = [
        {**event, "cat": "Session"},
        {**event, "name": "mm_fence_before"},
        {"cat": "Node", "name": "x", "args": {}},
    ]
    assert read_layers(others) == ()


@pytest.mark.parametrize("shapes", [[], [{"float": [2, 3]}], [{"float": []}, {"float": [3]}]], ids=str)
def test_shapes_that_do_not_tell_the_work_are_uncounted(shapes):
    layers = read_layers([make_event("mm", "MatMul", shapes, [{"float": [2, 4]}])])
    assert layers[0].macs is None
