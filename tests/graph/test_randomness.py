import onnx
import onnx.parser
import pytest

from toolchain.graph.randomness import find_random_node


def parse(body, head='<ir_version: 9, opset_import: ["" : 17, "own" : 1]> net (float[2] x) => (float[2] y)'):
    return onnx.parser.parse_model(head + body)


IN_A_FUNCTION = """{ y = own.noise (x) }
<domain: "own", opset_import: ["" : 17]> noise (a) => (b) { n = RandomNormalLike (a) b = Add (a, n) }"""
IN_A_FUNCTION_BY_CONSTANT = """{ y = own.drop (x) }
<domain: "own", opset_import: ["" : 17]> drop (a) => (b) {
    r = Constant <value_float = 0.5> () t = Constant <value = bool {1}> () b = Dropout (a, r, t)
}"""
IN_A_BRANCH_BY_ITS_INITIALIZER = """<bool c = {1}> {
    y = If (c) <then_branch = g () => (float[2] z) <float r = {0.5}, bool t = {1}> { z = Dropout (x, r, t) },
                else_branch = h () => (float[2] w) { w = Identity (x) }>
}"""

BRANCH = """<bool c = {1}> {
    y = If (c) <then_branch = g () => (float[2] z) { z = RandomNormalLike (x) },
                else_branch = h () => (float[2] w) { w = Identity (x) }>
}"""


@pytest.mark.parametrize(
    "body",
    [
        "{ n = RandomNormalLike (x) y = Add (x, n) }",
        "{ n = RandomUniform <shape = [2]> () y = Add (x, n) }",
        "<float r = {0.5}, bool t = {1}> { y = Dropout (x, r, t) }",
        "<float r = {0.5}> { t = Constant <value = bool {1}> () y = Dropout (x, r, t) }",
        BRANCH,
        IN_A_FUNCTION,
        IN_A_FUNCTION_BY_CONSTANT,
        IN_A_BRANCH_BY_ITS_INITIALIZER,
    ],
)
def test_a_node_that_draws_is_found(body):
    assert find_random_node(parse(body)) is not None


@pytest.mark.parametrize(
    "body",
    [
        "{ y = Relu (x) }",
        "{ y = Dropout (x) }",
        "<float r = {0.5}, bool t = {0}> { y = Dropout (x, r, t) }",
        "<float r = {0.5}> { t = Constant <value = bool {0}> () y = Dropout (x, r, t) }",
        IN_A_FUNCTION_BY_CONSTANT.replace("bool {1}", "bool {0}"),
        IN_A_BRANCH_BY_ITS_INITIALIZER.replace("bool t = {1}", "bool t = {0}"),
    ],
)
def test_a_node_that_does_not_draw_is_none(body):
    assert find_random_node(parse(body)) is None
