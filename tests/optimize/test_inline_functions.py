from tests.optimize.conftest import list_operators, parse_model
from toolchain.optimize import inline_functions


def test_calls_are_replaced_by_their_bodies_all_the_way_down(assert_acts):
    model = parse_model(
        """g (float[N, 4] x) => (float[N, 4] y, float[N, 4] z) { y = local.outer (x) z = local.outer (y) }
        <domain: "local", opset_import: ["" : 21, "local" : 1]> outer (a) => (b) { t = local.inner (a) b = Neg (t) }
        <domain: "local", opset_import: ["" : 21]> inner (a) => (b) { b = Relu (a) }"""
    )
    inlined = assert_acts(inline_functions, model)
    assert list_operators(inlined) == ["Relu", "Neg", "Relu", "Neg"]
    assert not inlined.functions


def test_a_model_without_functions_is_left_alone(assert_idle):
    assert_idle(inline_functions, parse_model("g (float[N] x) => (float[N] y) { y = Relu (x) }"))
