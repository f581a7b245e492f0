from onnx import numpy_helper

from tests.optimize.conftest import list_operators, parse_model
from toolchain.optimize import lift_constants


def test_constants_of_every_numeric_kind_become_initializers(assert_acts):
    model = parse_model(
        """g (float[N, 2] x) => (float[N, 2] y) {
        a = Constant <value = float[2] {1.5, 2.5}> ()
        b = Constant <value_float = 3.0> ()
        c = Constant <value_floats = [4.0, 5.0]> ()
        d = Constant <value_int = 1> ()
        e = Constant <value_ints = [0, 1]> ()
        s = Add (x, a) t = Add (s, b) u = Add (t, c) v = Gather <axis = 1> (u, e) w = Gather <axis = 1> (v, d)
        k = Unsqueeze (w, e) m = ReduceMean (k) y = Mul (v, m) }"""
    )
    result = assert_acts(lift_constants, model)
    assert "Constant" not in list_operators(result)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in result.graph.initializer}
    assert arrays["a"].tolist() == [1.5, 2.5]
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        "a": ("float32", (2,)),
        "b": ("float32", ()),
        "c": ("float32", (2,)),
        "d": ("int64", ()),
        "e": ("int64", (2,)),
    }


def test_a_constant_that_is_an_output_is_left_alone(assert_idle):
    assert_idle(
        lift_constants, parse_model("g (float[N] x) => (float[1] y) { y = Constant <value = float[1] {1}> () }")
    )


def test_constants_in_subgraphs_and_strings_are_left_alone(assert_idle):
    model = parse_model(
        """g (float[2] x, bool c) => (float[2] y) {
        s = Constant <value_string = "text"> ()
        y = If (c) <then_branch = t () => (float[2] a) { a = Constant <value = float[2] {1, 2}> () },
                    else_branch = e () => (float[2] b) { b = Relu (x) }> }"""
    )
    assert_idle(lift_constants, model)
