import numpy as np
import pytest
from onnx import helper, parser

from toolchain.graph.view import GraphView, attribute_float, read_constant_node


def view(body, head=""):
    return GraphView.from_model(
        parser.parse_model(
            f'<ir_version: 10, opset_import: ["": 21]> g (float[2] x) => (float[2] y) {head} {{ {body} }}'
        )
    )


@pytest.mark.parametrize(
    ("constant", "value"),
    [
        ("Constant <value = float[2] {1.0, 2.0}> ()", np.array([1, 2], np.float32)),
        ("Constant <value_float = 1.5> ()", np.array(1.5, np.float32)),
        ("Constant <value_ints = [3, 4]> ()", np.array([3, 4], np.int64)),
        ("Constant <value_int = 3> ()", np.array(3, np.int64)),
    ],
)
def test_a_constant_of_every_form_of_numbers_is_read(constant, value):
    graph = view(f"c = {constant} y = Identity (x)")
    found = graph.constant("c")
    assert (found.dtype, found.tolist()) == (value.dtype, value.tolist())
    assert graph.is_constant("c")


def test_an_initializer_is_read_as_well():
    assert view("y = Add (x, w)", "<float[2] w = {1, 2}>").constant("w").tolist() == [1, 2]


def test_what_an_input_and_a_node_make_is_no_constant():
    graph = view("y = Neg (x)")
    for name in ("x", "y", "none"):
        assert graph.constant(name) is None
        assert not graph.is_constant(name)


def test_text_and_the_operator_of_another_domain_have_no_number():
    assert read_constant_node(helper.make_node("Constant", [], ["c"], value_string="text")) is None
    assert read_constant_node(helper.make_node("Constant", [], ["c"], domain="other", value_float=1.0)) is None


def test_an_attribute_that_is_not_stated_has_its_default():
    assert attribute_float(helper.make_node("Gemm", ["a", "b"], ["c"], alpha=0.5), "alpha", 1.0) == 0.5
    assert attribute_float(helper.make_node("Gemm", ["a", "b"], ["c"], alpha=0.5), "beta", 1.0) == 1.0
