import onnx
from onnx import parser

from toolchain.graph.set_aside import (
    ASIDE_MIN_BYTES,
    copy_without_weights,
    list_large_weights,
    put_weights_back,
    set_weights_aside,
)

TEXT = """<ir_version: 10, opset_import: ["" : 21], producer_name: "tests"> g (float[N, 2] x) => (float[N, 2] y)
<float[2, 2] a = {1, 2, 3, 4}, float[2] b = {5, 6}, float[2, 2] c = {7, 8, 9, 10}>
{ p = MatMul (x, a) s = Add (p, b) y = MatMul (s, c) }"""


def list_names(values):
    return [value.name for value in values]


def test_what_is_set_aside_is_an_input_of_its_type_and_the_graph_is_valid():
    model = parser.parse_model(TEXT)
    rest = set_weights_aside(model, {"a", "c"})
    onnx.checker.check_model(rest, full_check=True)
    assert list_names(rest.graph.initializer) == ["b"]
    assert list_names(rest.graph.input) == ["x", "a", "c"]
    assert [axis.dim_value for axis in rest.graph.input[1].type.tensor_type.shape.dim] == [2, 2]


def test_what_is_put_back_makes_the_model_that_it_was():
    model = parser.parse_model(TEXT)
    for names in ({"a"}, {"b", "c"}, {"a", "b", "c"}, set()):
        assert put_weights_back(set_weights_aside(model, names), model, names) == model


def test_a_weight_that_callers_may_override_stays_an_input():
    model = parser.parse_model(TEXT)
    model.graph.input.append(onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [2, 2]))
    rest = set_weights_aside(model, {"a"})
    assert list_names(rest.graph.input) == ["x", "a"]
    assert put_weights_back(rest, model, {"a"}) == model


def test_what_was_made_meanwhile_stays_and_what_is_not_asked_for_is_gone():
    model = parser.parse_model(TEXT)
    rest = set_weights_aside(model, {"a", "c"})
    rest.graph.initializer.append(onnx.helper.make_tensor("new", onnx.TensorProto.FLOAT, [1], [1.0]))
    rest.graph.input.remove(next(value for value in rest.graph.input if value.name == "c"))
    whole = put_weights_back(rest, model, {"a"})
    assert list_names(whole.graph.initializer) == ["a", "b", "new"]
    assert list_names(whole.graph.input) == ["x"]


def test_a_copy_without_weights_has_everything_else():
    model = parser.parse_model(TEXT)
    copy = copy_without_weights(model)
    assert list_names(copy.graph.initializer) == []
    copy.graph.initializer.extend(model.graph.initializer)
    assert copy == model


def test_only_large_weights_are_worth_it():
    model = parser.parse_model(TEXT)
    for name, count in (("large", ASIDE_MIN_BYTES), ("small", ASIDE_MIN_BYTES - 1)):
        tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.INT8, dims=[count], raw_data=bytes(count))
        model.graph.initializer.append(tensor)
    assert list_large_weights(model) == ["large"]
