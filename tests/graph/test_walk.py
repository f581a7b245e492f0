from onnx import parser

from toolchain.graph.walk import iter_nodes, iter_tensors

HEADER = '<ir_version: 10, opset_import: ["" : 21, "local" : 1]>'
LOCAL_F = '<domain: "local", opset_import: ["" : 21]> f (a) => (b) { b = Relu (a) }'


def test_tensors_and_nodes_are_found_in_subgraphs_and_functions():
    model = parser.parse_model(
        HEADER
        + """g (float[1] x, bool c) => (float[1] y) <float[1] w = {1}> {
        y = If (c) <then_branch = t () => (float[1] a) <float[1] v = {1}> { a = local.f (x) },
                    else_branch = e () => (float[1] b) { b = Constant <value = float[1] {2}> () }> }"""
        + LOCAL_F
    )
    assert [node.op_type for node in iter_nodes(model)] == ["If", "f", "Constant", "Relu"]
    assert len(list(iter_tensors(model))) == 3
