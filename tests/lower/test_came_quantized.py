from tests.lower.conftest import parse_model
from toolchain.lower.came_quantized import came_quantized, describe_passed_through

HEAD = '<ir_version: 10, opset_import: ["": 21]> '


def test_a_float_model_did_not_come_quantized(residual):
    assert not came_quantized(residual)


def test_layers_between_pairs_are_int8_and_the_others_are_named():
    model = parse_model(
        HEAD + "g (float[n, 4] x) => (float[n, 4] y) <float s = {0.1}, uint8 z = {128}, int8[4, 4] wq = "
        "{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}, float[4, 4] v> { [q] i = QuantizeLinear(x, s, z) "
        "[d] h = DequantizeLinear(i, s, z) [w] w = DequantizeLinear(wq, s) [one] a = MatMul(h, w) [two] y = MatMul(a, v) }"
    )
    assert came_quantized(model)
    document = describe_passed_through(model)
    assert [layer["name"] for layer in document["layers"]] == ["one"]
    assert [(layer["name"], layer["reason"][:24]) for layer in document["kept_in_float"]] == [
        ("two", "the model came quantized")
    ]


def test_a_conversion_that_finds_its_scale_in_each_run_is_no_layer():
    model = parse_model(
        HEAD + "g (float[n, 4] x) => (float[n, 4] y) <int8[4, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}, "
        "float[4, 4] v> { [q] i, s, z = DynamicQuantizeLinear(x) [one] m = MatMulInteger(i, w, z) "
        "[c] f = Cast<to = 1>(m) [d] a = Mul(f, s) [two] y = MatMul(a, v) }"
    )
    assert came_quantized(model)
    document = describe_passed_through(model)
    assert [layer["name"] for layer in document["layers"]] == ["one"]
    assert [layer["name"] for layer in document["kept_in_float"]] == ["two"]
