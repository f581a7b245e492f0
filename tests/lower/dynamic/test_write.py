from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from tests.lower.conftest import parse_model, run_model
from tests.lower.dynamic.conftest import HEAD
from tests.lower.test_safe_scales import run_without_vnni
from toolchain.agent.measure.parity import compare
from toolchain.agent.measure.session import find_runtime
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.dynamic.emulation import emulate_integer_products
from toolchain.lower.dynamic.plan import find_dynamic
from toolchain.lower.dynamic.write import write_dynamic
from toolchain.lower.layer_times import name_layers
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.safe_scales import find_saturating


def make_dynamic(model, scheme):
    written = write_dynamic(model, QdqPlan(tuple(find_dynamic(model).values())), scheme)
    onnx.checker.check_model(written, full_check=True)
    return written


def list_kernels(model, folder):
    """Return the operators and names of the nodes that ONNX Runtime makes of a model."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "run.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [(node.op_type, node.name) for node in onnx.load(folder / "run.onnx").graph.node]


def product(shape="n, 64", op="MatMul(x, w)", bias=""):
    text = f"g (float[{shape}] x) => (float[{shape.rpartition(',')[0]}, 32] y) "
    weight = "float[32, 64] w" if "transB = 1" in op else "float[64, 32] w"
    return parse_model(HEAD + text + f"<{weight}, float[32] b> {{ [layer] {'y' if not bias else 'p'} = {op} {bias} }}")


def quantize_by_hand(x, weight, bits):
    """Return the product as the specifications of DynamicQuantizeLinear and MatMulInteger say it, in whole numbers."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    step = np.float32((high - low) / 255) or np.float32(1)
    zero = np.clip(np.rint(-low / step), 0, 255)
    integers = np.clip(np.rint(x / step) + zero, 0, 255) - zero
    limit = 2 ** (bits - 1) - 1
    scales = np.abs(weight).max(axis=0) / limit
    return (integers @ np.rint(weight / scales)) * step * scales


@pytest.mark.parametrize("shape", ["n, 64", "n, s, 64"])
def test_a_product_is_what_the_specification_says_of_it(shape, scheme):
    model = product(shape)
    x = np.random.default_rng(2).normal(size=(3, 64) if shape == "n, 64" else (2, 5, 64)).astype(np.float32)
    weight = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "w"))
    found = run_model(make_dynamic(model, scheme), {"x": x})["y"]
    expected = quantize_by_hand(x.astype(np.float64), weight.astype(np.float64), scheme.weight_bits)
    # Two values on the border between two integers may fall either way: a step of one input at most.
    np.testing.assert_allclose(found, expected, atol=float(np.abs(x).max() / 100 * np.abs(weight).max()))
    assert np.abs(found - expected).mean() < 1e-4


@pytest.mark.parametrize("shape", ["n, 64", "n, s, 64"])
@pytest.mark.parametrize("bias", ["", "[bias] y = Add(p, b)"])
def test_a_tensor_that_one_product_reads_makes_a_single_kernel(shape, bias, scheme, tmp_path):
    written = make_dynamic(product(shape, bias=bias), scheme)
    assert [op for op, _ in list_kernels(written, tmp_path)] == ["DynamicQuantizeMatMul"]


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm_with_its_bias_makes_a_single_kernel_of_the_right_values(transposed, scheme, tmp_path):
    model = product(op=f"Gemm<transB = {transposed}>(x, w, b)")
    written = make_dynamic(model, scheme)
    assert [op for op, _ in list_kernels(written, tmp_path)] == ["DynamicQuantizeMatMul"]
    x = {"x": np.random.default_rng(2).normal(size=(4, 64)).astype(np.float32)}
    (row,) = compare(run_model(model, x), run_model(written, x))
    assert row.sqnr_db > 30


def test_products_of_one_tensor_quantize_it_once(attention, scheme, tmp_path):
    kernels = [op for op, _ in list_kernels(make_dynamic(attention, scheme), tmp_path)]
    assert kernels.count("DynamicQuantizeLinear") == 1
    assert kernels.count("MatMulIntegerToFloat") == 3
    assert kernels.count("DynamicQuantizeMatMul") == 1
    assert "MatMulInteger" not in kernels


def test_the_last_node_of_a_product_has_its_name_and_its_kernel_is_known_by_it(attention, sequences, scheme, tmp_path):
    written = make_dynamic(attention, scheme)
    assert {node.output[0] for node in written.graph.node if node.name in {"query", "join"}} == {"q0", "y"}
    (tmp_path / "model.onnx").write_bytes(written.SerializeToString())
    placement = find_runtime("onnxruntime").read_placement(tmp_path / "model.onnx", 1, sequences[0])
    names = name_layers(written, ["query", "key", "value", "join"])
    int8 = {names[layer.name]: layer.macs for layer in placement.layers if layer.precision == "int8"}
    assert int8 == dict.fromkeys(["query", "key", "value", "join"], 6 * 64 * 64)
    # The two products of activations ran in float, and are counted so.
    assert [layer.precision for layer in placement.layers].count("float32") == 2
    assert placement.precision_share_macs["int8"] == pytest.approx(4 * 6 * 64 * 64 / placement.macs, abs=1e-5)


def test_the_weights_of_a_cpu_that_saturates_keep_7_bits(scheme):
    written = make_dynamic(product(), scheme)
    weight = next(t for t in written.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2)
    assert scheme.weight_bits == 7
    assert np.abs(numpy_helper.to_array(weight)).max() == 63


@pytest.mark.parametrize("saturates", [True, False])
def test_weights_of_8_bits_never_saturate_where_the_cpu_would(saturates):
    features = frozenset() if saturates else frozenset({"avx512_vnni"})
    scheme = int8_policy(choose_scheme("x86_64", features, "auto")).scheme
    assert scheme.weight_bits == 8
    written = make_dynamic(product(), scheme)
    weight = next(t for t in written.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2)
    assert find_saturating(numpy_helper.to_array(weight), axis=1).any() != saturates


def test_on_a_cpu_without_vnni_both_kernels_are_exact_with_our_weights_and_saturate_with_plain_ones(tmp_path):
    saturating = int8_policy(choose_scheme("x86_64", frozenset(), "auto")).scheme
    alone, shared = (
        product("n, 5, 64"),
        parse_model(
            HEAD + "g (float[n, 5, 64] x) => (float[n, 5, 32] y) <float[64, 32] w, float[64, 32] v> "
            "{ [one] a = MatMul(x, w) [two] b = MatMul(x, v) [join] y = Add(a, b) }"
        ),
    )
    for tensor in [*alone.graph.initializer, *shared.graph.initializer]:
        # The sums of a kernel are largest where all inputs and all weights are.
        value = np.abs(numpy_helper.to_array(tensor)) + 1
        tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), tensor.name))
    x = np.full((2, 5, 64), 3, np.float32)
    schemes = {"ours": saturating, "plain": replace(saturating, saturates=False)}
    made = {
        f"{name} {form}": make_dynamic(model, scheme)
        for form, scheme in schemes.items()
        for name, model in (("alone", alone), ("shared", shared))
    }
    outputs = run_without_vnni(tmp_path, {name: (model, x) for name, model in made.items()})
    for name, model in made.items():
        exact = run_model(emulate_integer_products(model), {"x": x})["y"]
        (row,) = compare({"y": exact}, {"y": outputs[name]})
        assert (row.sqnr_db > 100) if "ours" in name else (row.sqnr_db < 20), name


def test_a_weight_of_two_products_is_stored_once(scheme):
    model = parse_model(
        HEAD + "g (float[n, 64] x) => (float[n, 64] y) <float[64, 64] w> "
        "{ [one] a = MatMul(x, w) [act] b = Relu(a) [two] y = MatMul(b, w) }"
    )
    written = make_dynamic(model, scheme)
    assert [t.data_type for t in written.graph.initializer if len(t.dims) == 2] == [onnx.TensorProto.INT8]
    x = {"x": np.random.default_rng(2).normal(size=(4, 64)).astype(np.float32)}
    (row,) = compare(run_model(model, x), run_model(written, x))
    assert row.sqnr_db > 25


def test_names_that_a_user_gave_are_not_taken(scheme):
    model = parse_model(
        HEAD + "g (float[n, 64] x) => (float[n, 64] x_run_scale, float[n, 64] layer_sums) <float[64, 64] w> "
        "{ [layer] x_run_scale = MatMul(x, w) [x_run_quantize] layer_sums = Relu(x) }"
    )
    x = {"x": np.random.default_rng(2).normal(size=(4, 64)).astype(np.float32)}
    rows = compare(run_model(model, x), run_model(make_dynamic(model, scheme), x))
    assert min(row.sqnr_db for row in rows) > 30


def test_a_model_without_products_is_returned_as_it_is(residual, scheme):
    assert write_dynamic(residual, QdqPlan(()), scheme) is residual


@pytest.mark.parametrize("value", [0.0, 3.0, -2.0])
def test_an_activation_of_one_value_gives_what_float_gives(value, scheme):
    model = product("n, s, 64", bias="[bias] y = Add(p, b)")
    x = {"x": np.full((2, 3, 64), value, np.float32)}
    expected, found = run_model(model, x)["y"], run_model(make_dynamic(model, scheme), x)["y"]
    assert np.isfinite(found).all()
    # Constant inputs are on the grid: what is left is the rounding of 64 weights to 7 bits.
    assert np.abs(found - expected).max() <= abs(value) * 64 * 0.5 * 0.5 / 63


@pytest.mark.parametrize("shape", [(0, 5, 64), (2, 0, 64)])
def test_an_empty_batch_or_sequence_gives_an_empty_output(shape, scheme):
    found = run_model(make_dynamic(product("n, s, 64"), scheme), {"x": np.zeros(shape, np.float32)})["y"]
    assert found.shape == (*shape[:2], 32)


def test_a_nan_that_the_kernel_swallows_is_a_failed_parity(scheme):
    # DynamicQuantizeLinear of ONNX Runtime leaves a NaN out of its range and makes an integer of it.
    model = product()
    x = {"x": np.random.default_rng(2).normal(size=(4, 64)).astype(np.float32)}
    x["x"][1, 7] = np.nan
    found = run_model(make_dynamic(model, scheme), x)
    assert np.isfinite(found["y"]).all()
    (row,) = compare(run_model(model, x), found)
    assert (row.nonfinite, row.sqnr_db) == (32, -200.0)
