import onnx
import onnx.parser
import pytest

from toolchain.graph.randomness import find_random_node


def parse(body, head='<ir_version: 9, opset_import: ["" : 17]> net (float[2] x) => (float[2] y)'):
    return onnx.parser.parse_model(head + body)


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
    ],
)
def test_a_node_that_does_not_draw_is_none(body):
    assert find_random_node(parse(body)) is None
