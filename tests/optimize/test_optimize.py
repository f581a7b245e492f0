from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.optimize.conftest import make_batch, parse_model
from toolchain.errors import ExitCode, ToolchainError
from toolchain.optimize import PASSES, optimize
from toolchain.optimize.applied import Applied

NET = """
g (float[batch, 3, 8, 8] image) => (float[batch, 5] scores)
<float[4, 3, 3, 3] w, float[4] b, float[4] scale, float[4] shift, float[4] mean, float[4] var = {1, 2, 3, 4},
 int64[2] axes = {2, 3}, float[4, 5] w2>
{
    c = Conv (image, w, b)
    n = BatchNormalization (c, scale, shift, mean, var)
    three = Constant <value = float {3.0}> ()
    zero = Constant <value = float {0.0}> ()
    six = Constant <value = float {6.0}> ()
    a = Add (n, three)
    l = Clip (a, zero, six)
    m = Mul (n, l)
    h = Div (m, six)
    p = ReduceMean <keepdims = 0> (h, axes)
    scores = MatMul (p, w2)
}
"""


def make_pass(function, name="toolchain.optimize.made_up"):
    return SimpleNamespace(__name__=name, apply=lambda model: Applied(model=function(model), report="made up"))


def copy(model):
    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result


def refuse(code, model, step, batches=None):
    with pytest.raises(ToolchainError) as caught:
        optimize(model, [make_batch(model)] if batches is None else batches, passes=[step])
    assert caught.value.code == code
    return caught.value


DROPOUT = """
g (float[batch, 8] x) => (float[batch, 8] y) <float rate = {0.5}, bool flag = {1}, float low = {-1e30}>
{ t = %s y = Dropout <seed = 3> (x, rate, t) }
"""


@pytest.mark.parametrize("flag", ["t = Identity (flag)", "s = ReduceSum <keepdims = 0> (x) t = Greater (s, low)"])
def test_a_node_that_draws_by_a_flag_that_nobody_can_read_is_refused_by_its_second_answer(flag):
    model = parse_model(DROPOUT.replace("t = %s", flag))
    with pytest.raises(ToolchainError) as caught:
        optimize(model, [make_batch(model)])
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.what == "the model's output differs from run to run"
    assert caught.value.where == "output y"


def test_a_node_that_would_draw_and_does_not_is_no_reason():
    model = parse_model(DROPOUT.replace("flag = {1}", "flag = {0}").replace("%s", "Identity (flag)"))
    optimize(model, [make_batch(model)])


def test_all_passes_together_leave_the_fewest_nodes_and_the_same_numbers():
    model = parse_model(NET)
    batches = [make_batch(model, seed) for seed in range(3)]
    seen = []
    result = optimize(model, batches, on_pass=seen.append)
    assert [node.op_type for node in result.model.graph.node] == [
        "Conv",
        "HardSwish",
        "GlobalAveragePool",
        "Flatten",
        "MatMul",
    ]
    assert tuple(seen) == result.passes
    assert [record.name for record in result.passes] == [step.__name__.rsplit(".", 1)[1] for step in PASSES]
    assert min(record.sqnr_db for record in result.passes) > 100
    for before, after in zip(result.passes, result.passes[1:], strict=False):
        assert before.nodes_after == after.nodes_before
    assert len({node.name for node in result.model.graph.node} - {""}) == 5
    assert not result.model.metadata_props


def test_the_batch_stays_dynamic_and_the_interface_the_same():
    model = parse_model(NET)
    result = optimize(model, [make_batch(model)]).model
    assert result.graph.input == model.graph.input
    assert [(v.name, v.type) for v in result.graph.output] == [(v.name, v.type) for v in model.graph.output]


def test_optimizing_is_deterministic_and_done_after_one_round():
    model = parse_model(NET)
    batches = [make_batch(model)]
    first = optimize(model, batches).model
    assert first.SerializeToString() == optimize(copy(model), batches).model.SerializeToString()
    again = optimize(first, batches)
    assert not any(record.acted for record in again.passes)
    assert again.model is first


def test_a_pass_that_changes_the_numbers_is_named():
    def change(model):
        result = copy(model)
        tensor = next(tensor for tensor in result.graph.initializer if tensor.name == "w2")
        weight = numpy_helper.to_array(tensor) * np.float32(1.001)
        tensor.CopyFrom(numpy_helper.from_array(weight, "w2"))
        return result

    error = refuse(ExitCode.PARITY, parse_model(NET), make_pass(change))
    assert "pass made_up" in error.what
    assert error.where == "output scores"


def test_a_pass_that_writes_an_invalid_graph_is_named():
    def break_graph(model):
        result = copy(model)
        del result.graph.node[0]
        return result

    assert "pass made_up" in refuse(ExitCode.PARITY, parse_model(NET), make_pass(break_graph)).what


def test_a_pass_whose_graph_the_runtime_refuses_is_named():
    def use_what_onnxruntime_lacks(model):
        result = copy(model)
        result.graph.node[0].domain = "local"
        return result

    error = refuse(ExitCode.PARITY, parse_model(NET), make_pass(use_what_onnxruntime_lacks))
    assert "pass made_up: the model ran before it" in error.what


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: graph.output.append(helper.make_tensor_value_info("c", 1, ["batch", 4, 6, 6])),
        lambda graph: setattr(graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 2),
        lambda graph: setattr(graph.output[0].type.tensor_type.shape.dim[0], "dim_value", 2),
        lambda graph: setattr(graph.output[0].type.tensor_type.shape.dim[1], "dim_param", "n"),
        lambda graph: graph.input.append(helper.make_tensor_value_info("new", 1, ["batch"])),
        lambda graph: (
            graph.output[0].type.tensor_type.ClearField("shape") or graph.input[0].type.tensor_type.ClearField("shape")
        ),
    ],
)
def test_a_pass_that_changes_inputs_or_outputs_is_named(change):
    def apply(model):
        result = copy(model)
        change(result.graph)
        return result

    assert "pass made_up: it changed the model's" in refuse(ExitCode.PARITY, parse_model(NET), make_pass(apply)).what


def test_a_pass_may_find_out_the_length_of_an_outputs_own_axis():
    model = parse_model("g (float[batch, 4] x) => (float[batch, found] y) { y = Relu (x) }")

    def infer(model):
        result = copy(model)
        result.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
        return result

    assert optimize(model, [make_batch(model)], passes=[make_pass(infer)]).passes[0].acted


# The difference of two large, nearly equal numbers, unless BatchNormalization is fused into the convolution.
CANCELLING = """
g (float[batch, 3, 9, 9] x) => (float[batch, 4, 7, 7] y)
<float[4, 3, 3, 3] w, float[4] b = {500000, 500000, 500000, 500000}, float[4] s, float[4] t,
 float[4] m = {500000, 500000, 500000, 500000}, float[4] v = {1, 2, 3, 4}>
{ c = Conv (x, w, b) y = BatchNormalization (c, s, t, m, v) }
"""


def scale_weights(factor):
    def apply(model):
        result = copy(model)
        tensor = next(tensor for tensor in result.graph.initializer if tensor.name == "s")
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), "s"))
        return result

    return make_pass(apply)


def test_a_model_that_amplifies_rounding_is_held_to_its_own_rounding():
    model = parse_model(CANCELLING)
    result = optimize(model, [make_batch(model)], passes=[scale_weights(1.001)])
    assert 40 < result.passes[0].sqnr_db < 80


def test_a_model_that_amplifies_rounding_is_still_held_to_something():
    refuse(ExitCode.PARITY, parse_model(CANCELLING), scale_weights(1.1))


def test_a_model_that_the_runtime_refuses_is_malformed_and_no_pass_is_blamed():
    model = parse_model("g (float[N] x) => (float[N] y) { t = Cast <to = 7> (x) y = Add (x, t) }")
    assert refuse(ExitCode.MALFORMED, model, make_pass(copy)).code == ExitCode.MALFORMED


def test_samples_of_the_wrong_shape_and_no_samples_are_usage_errors():
    model = parse_model(NET)
    refuse(ExitCode.USAGE, model, make_pass(copy), [{"image": np.ones((1, 3, 9, 9), dtype=np.float32)}])
    refuse(ExitCode.USAGE, model, make_pass(copy), [])


def test_a_model_whose_output_is_nan_is_refused():
    model = parse_model(
        "g (float[N, 4] x) => (float[N, 4] y) { r = Relu (x) n = Neg (r) s = Sqrt (n) y = Identity (s) }"
    )
    simplify = next(step for step in PASSES if step.__name__.endswith("simplify"))
    assert "not a number" in refuse(ExitCode.PARITY, model, simplify).what


def scale_in_place(model):
    weight = model.graph.initializer[0]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.02), weight.name))
    return Applied(model=model, report="nothing was done")


def divide(model):
    raise ZeroDivisionError(model.graph.name)


@pytest.mark.parametrize(
    ("apply", "word"),
    [
        (scale_in_place, "changed the model that it was given"),
        (lambda model: None, "returned NoneType"),
        (lambda model: model, "returned ModelProto"),
        (divide, "breaks"),
    ],
)
def test_a_pass_that_keeps_no_promise_is_refused(apply, word):
    step = SimpleNamespace(__name__="plugins.own", apply=apply)
    error = refuse(ExitCode.PARITY, parse_model(NET), step)
    assert f"pass own: it {word}" in error.what
    assert error.fix


def test_a_pass_that_does_nothing_leaves_the_very_model():
    model = parse_model(NET)
    step = SimpleNamespace(__name__="plugins.own", apply=lambda model: Applied(model=model, report="nothing to do"))
    result = optimize(model, [make_batch(model)], passes=[step])
    assert (result.model is model, result.passes[0].acted) == (True, False)
