from toolchain.graph.safety.scopes import iter_scoped_nodes

MODEL = """g (float[N] x, bool k) => (float[N] y) <float outer = {1}> {
    inner = Constant <value = float {2}> ()
    y = If (k) <then_branch = t () => (float[N] a) <float own = {3}> { a = Sum (x, outer, inner, own) },
                else_branch = e () => (float[N] b) { b = Max (x, own) }> }"""
FUNCTION = (
    '<domain: "local", opset_import: ["" : 21]> f (a) => (b) { two = Constant <value_int = 2> () b = Min (a, two) }'
)


def test_a_node_sees_the_constants_of_its_graph_and_of_those_around_it(parse):
    seen = {node.op_type: (node, constants) for node, constants in iter_scoped_nodes(parse(MODEL + FUNCTION))}
    node, constants = seen["Sum"]
    assert [None if constants.read(name) is None else float(constants.read(name)) for name in node.input] == [
        None,
        1,
        2,
        3,
    ]
    assert seen["Max"][1].find("own") is None
    assert float(seen["Min"][1].read("two")) == 2
    assert seen["Min"][1].find("outer") is None
