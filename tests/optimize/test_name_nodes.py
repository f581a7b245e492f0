from tests.optimize.conftest import parse_model
from toolchain.graph.walk import iter_nodes
from toolchain.optimize import name_nodes


def names(model):
    return [node.name for node in iter_nodes(model)]


def test_nameless_nodes_are_called_after_operator_and_output(assert_acts):
    model = parse_model("g (float[N] x) => (float[N] y) { [first] a = Relu (x) y = Neg (a) }")
    assert names(assert_acts(name_nodes, model)) == ["first", "Neg_y"]


def test_the_first_of_a_name_keeps_it_and_no_new_name_was_there_before(assert_idle):
    model = parse_model(
        "g (float[N] x) => (float[N] y) { [a] p = Relu (x) [a] q = Neg (p) [a_2] r = Abs (q) [Exp_y] s = Abs (r) y = Exp (s) }"
    )
    result = name_nodes.apply(model).model
    assert names(result) == ["a", "a_3", "a_2", "Exp_y", "Exp_y_2"]
    assert_idle(name_nodes, result)


def test_nodes_of_subgraphs_are_named_too(assert_acts):
    model = parse_model(
        """g (float[2] x, bool c) => (float[2] y) {
        [same] y = If (c) <then_branch = t () => (float[2] z) { [same] z = Neg (x) },
                           else_branch = e () => (float[2] z) { z = Relu (x) }> }"""
    )
    assert names(assert_acts(name_nodes, model)) == ["same", "same_2", "Relu_z"]


def test_unique_names_are_left_alone(assert_idle):
    assert_idle(name_nodes, parse_model("g (float[N] x) => (float[N] y) { [a] t = Relu (x) [b] y = Neg (t) }"))
