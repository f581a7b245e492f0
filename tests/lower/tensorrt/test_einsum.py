import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from tests.lower.conftest import parse_model
from toolchain.lower.tensorrt.einsum import lower_equations

GRAPH = '<ir_version: 10, opset_import: ["": 20]> g (float[2, 3, 4] x, float[2, 5, 4] y) => (float[2, 3, 5] z) {{ z = Einsum <equation = "{equation}"> (x, y) }}'


def read_equation(model):
    return helper.get_node_attr_value(model.graph.node[0], "equation").decode()


def run(model):
    generator = np.random.default_rng(0)
    feeds = {
        name: generator.normal(size=size).astype(np.float32) for name, size in (("x", (2, 3, 4)), ("y", (2, 5, 4)))
    }
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[
        0
    ]


@pytest.mark.parametrize("equation", ["BID,BJD->BIJ", "Bid,BJd->BiJ", "...ID,...JD->...IJ", "aAB, aCB -> aAC"])
def test_capital_letters_become_small_ones_that_mean_the_same(equation):
    model = parse_model(GRAPH.format(equation=equation))
    lowered = lower_equations(model)
    assert read_equation(lowered) == read_equation(lowered).lower()
    np.testing.assert_array_equal(run(lowered), run(model))
    assert read_equation(model) == equation  # the model that came in stays


def test_small_letters_are_left_alone():
    model = parse_model(GRAPH.format(equation="bid,bjd->bij"))
    assert lower_equations(model) is model


def test_an_equation_in_a_branch_is_found():
    branch = parse_model(GRAPH.format(equation="BID,BJD->BIJ"))
    body = helper.make_graph(branch.graph.node, "then", [], branch.graph.output)
    node = helper.make_node("If", ["c"], ["w"], then_branch=body, else_branch=body)
    inputs = [*branch.graph.input, helper.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])]
    output = helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [2, 3, 5])
    model = helper.make_model(helper.make_graph([node], "g", inputs, [output]))
    then = lower_equations(model).graph.node[0].attribute[1].g
    assert helper.get_node_attr_value(then.node[0], "equation") == b"abc,adc->abd"
