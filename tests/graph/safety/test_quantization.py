import numpy as np
import pytest
from onnx import numpy_helper

from toolchain.graph.safety.quantization import check_scales

PAIR = """g (float[N] x) => (float[N] y) <float s = {SCALE}, int8 z = {0}>
    { q = QuantizeLinear (x, s, z) y = DequantizeLinear (q, s, z) }"""


@pytest.mark.parametrize("scale", ["0.5", "1e-38", "1"])
def test_a_positive_scale_passes(parse, scale):
    check_scales(parse(PAIR.replace("SCALE", scale)), "m")


@pytest.mark.parametrize("scale", [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("holder", ["initializer", "Constant", "channel", "subgraph"])
def test_a_scale_that_is_not_positive_and_finite_is_refused(parse, refuse, scale, holder):
    tensor = numpy_helper.from_array(np.array(scale, np.float32), "s")
    model = parse(PAIR.replace("SCALE", "1"))
    if holder == "channel":
        tensor = numpy_helper.from_array(np.array([1, scale, 1], np.float32), "s")
    if holder == "subgraph":
        model = parse("""g (float[N] x, bool c) => (float[N] y) <float s = {1}, int8 z = {0}> { y = If (c) <
            then_branch = t () => (float[N] a) { q = QuantizeLinear (x, s, z) a = DequantizeLinear (q, s, z) },
            else_branch = e () => (float[N] b) { b = Relu (x) }> }""")
    if holder == "Constant":
        node = parse("g (float[N] x) => (float s) { s = Constant <value = float {1}> () }").graph.node[0]
        node.attribute[0].t.CopyFrom(tensor)
        del model.graph.initializer[0]
        model.graph.node.insert(0, node)
    else:
        model.graph.initializer[0].CopyFrom(tensor)
    assert "not positive" in refuse(check_scales, model)


def test_scales_that_are_computed_are_left_to_the_run(parse):
    check_scales(parse("g (float[N] x, float s) => (int8[N] y) <int8 z = {0}> { y = QuantizeLinear (x, s, z) }"), "m")


@pytest.mark.parametrize(
    "operator", ["QLinearConv", "QLinearMatMul", "com.microsoft.QLinearAdd", "com.microsoft.QGemm"]
)
def test_the_scales_of_quantized_operators_are_checked(parse, refuse, operator):
    text = f"g (uint8[N] x) => (uint8[N] y) <float s = {{1}}> {{ y = {operator} (x, s, x, x, s, x, s, s, x) }}"
    check_scales(parse(text), "m")
    assert "not positive" in refuse(check_scales, parse(text.replace("{1}", "{-1}")))


def test_a_zero_point_of_another_type_than_what_it_is_of_is_refused(parse, refuse):
    weights = "g (float[N] x) => (float[4] y) <int8[4] w = {1, 2, 3, 4}, float s = {1}, TYPE z = {0}>"
    weights += " { y = DequantizeLinear (w, s, z) }"
    check_scales(parse(weights.replace("TYPE", "int8")), "m")
    assert "expected int8, found uint8" in refuse(check_scales, parse(weights.replace("TYPE", "uint8")))
    output = "g (float[N] x) => (int8[N] y) <float s = {1}, int8 z = {0}>"
    output += " { y = QuantizeLinear <output_dtype = KIND> (x, s, z) }"
    check_scales(parse(output.replace("KIND", "3")), "m")
    assert "expected uint8, found int8" in refuse(check_scales, parse(output.replace("KIND", "2")))


def test_a_zero_point_of_another_shape_than_the_scale_is_refused(parse, refuse):
    text = "g (float[N, 3] x) => (int8[N, 3] y) <float[3] s = {1, 1, 1}, int8[COUNT] z = {ZEROS}>"
    text += " { y = QuantizeLinear <axis = 1> (x, s, z) }"
    check_scales(parse(text.replace("COUNT", "3").replace("ZEROS", "0, 0, 0")), "m")
    assert "differ in shape" in refuse(check_scales, parse(text.replace("COUNT", "2").replace("ZEROS", "0, 0")))


@pytest.mark.parametrize("scale", [0.0, -2.0, np.inf, np.nan])
def test_a_factor_of_a_length_that_is_not_positive_is_refused(parse, refuse, scale):
    model = parse("""g (float[1, 1, 4, 4] x) => (float[a, b, c, d] y) <float[4] s = {1, 1, 2, 2}>
        { y = Resize (x, , s) }""")
    check_scales(model, "m")
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([1, 1, scale, 2], np.float32), "s"))
    assert "factor of a length" in refuse(check_scales, model)
