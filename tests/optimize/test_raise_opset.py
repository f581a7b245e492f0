import onnx
import pytest

from tests.optimize.conftest import parse_model
from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph import set_aside
from toolchain.graph.opset import describe_opset, read_opset
from toolchain.optimize import raise_opset


@pytest.mark.parametrize("opset", [11, 13, 17, 20])
def test_an_older_model_is_raised_to_21_and_computes_the_same(assert_acts, opset):
    model = parse_model(
        "g (float[N, 4, 6, 6] x) => (float[N, 4] y) { r = Relu (x) y = ReduceMean <axes = [2, 3], keepdims = 0> (r) }"
        if opset < 18
        else "g (float[N, 4, 6, 6] x) => (float[N, 4] y) <int64[2] a = {2, 3}> { y = ReduceMean <keepdims = 0> (x, a) }",
        opset,
    )
    raised = assert_acts(raise_opset, model)
    assert read_opset(raised) == 21


@pytest.mark.parametrize("opset", [7, 11, 17])
def test_large_weights_that_the_converter_does_not_see_come_back_as_they_were(assert_acts, monkeypatch, opset):
    graph = "g (float[N, 4] x) => (float[N, 2] y) <float[4, 3] a, float[3] b, float[3, 2] c> { p = MatMul (x, a) s = Add (p, b) y = MatMul (s, c) }"
    model = parse_model(graph, opset, ir_version=8)
    expected = assert_acts(raise_opset, model)
    monkeypatch.setattr(set_aside, "ASIDE_MIN_BYTES", 20)
    assert set_aside.list_large_weights(model) == ["a", "c"]
    assert assert_acts(raise_opset, model) == expected


@pytest.mark.parametrize("opset", [21, 22, 24])
def test_a_model_of_today_is_left_alone(assert_idle, opset):
    assert_idle(raise_opset, parse_model("g (float[N] x) => (float[N] y) { y = Relu (x) }", opset))


def test_subgraphs_are_raised_too(assert_acts):
    model = parse_model(
        """g (float[N, 3, 4, 4] x, bool c) => (float[N, 3, A, B] y) {
        y = If (c) <then_branch = t () => (float[N, 3, 1, 1] a) { a = ReduceMean <axes = [2, 3]> (x) },
                    else_branch = e () => (float[N, 3, 4, 4] b) { b = Relu (x) }> }""",
        17,
    )
    raised = assert_acts(raise_opset, model)
    onnx.checker.check_model(raised, full_check=True)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_of_old_keeps_its_coordinates(assert_acts, mode):
    # nearest rounds down and linear starts at the corner before opset 11: 1.5 shows both.
    graph = f"""g (float[N, 1, 4, 4] x) => (float[N, 1, 6, 6] y) <float[4] s = {{1.0, 1.0, 1.5, 1.5}}>
    {{ y = Resize <mode = "{mode}"> (x, s) }}"""
    raised = assert_acts(raise_opset, parse_model(graph, 10, ir_version=5))
    attributes = {attribute.name: attribute.s for attribute in raised.graph.node[-1].attribute}
    assert attributes["coordinate_transformation_mode"] == b"asymmetric"


def test_resize_of_opset_11_keeps_what_it_says(assert_acts):
    graph = """g (float[N, 1, 4, 4] x) => (float[N, 1, 6, 6] y) <float[4] s = {1.0, 1.0, 1.5, 1.5}, float[0] roi = {}>
    { y = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (x, roi, s) }"""
    assert_acts(raise_opset, parse_model(graph, 11))


def test_initializers_that_an_old_file_lists_as_inputs_become_constants(assert_acts):
    model = parse_model("g (float[N, 4] x) => (float[N, 4] y) <float[4] w> { y = Add (x, w) }", 9, ir_version=3)
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, [4]))
    raised = assert_acts(raise_opset, model)
    assert [value.name for value in raised.graph.input] == ["x"]
    assert raised.ir_version == 10


def test_an_initializer_that_a_caller_may_override_stays_an_input(assert_acts):
    model = parse_model("g (float[N, 4] x) => (float[N, 4] y) <float[4] w> { y = Add (x, w) }", 13, ir_version=7)
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, [4]))
    assert [value.name for value in assert_acts(raise_opset, model).graph.input] == ["x", "w"]


def test_an_operator_without_a_conversion_is_named():
    model = parse_model(
        "g (float[N, 4] x, int64[1, 4] i, float[1, 4] u) => (float[N, 4] y) { y = Scatter <axis = 0> (x, i, u) }",
        8,
        ir_version=3,
    )
    with pytest.raises(ToolchainError) as caught:
        raise_opset.apply(model)
    assert caught.value.code == ExitCode.USAGE
    assert caught.value.where == "operator Scatter"


def test_the_opset_of_a_model_that_has_no_onnx_operators_is_one():
    model = parse_model("g (float[N] x) => (float[N] y) { y = local.f (x) }")
    del model.opset_import[0]
    assert read_opset(model) == 1


POOL = "g (float[N, 3, 6, 6] x) => (float[N, 3, A, B] y) { y = AveragePool <kernel_shape = [2, 2]> (x) }"


@pytest.mark.parametrize("opset", [11, 17, 19, 20, 21])
def test_a_model_that_pools_averages_is_stated_in_18(assert_acts, opset):
    stated = assert_acts(raise_opset, parse_model(POOL, opset))
    assert read_opset(stated) == 18
    assert "AveragePool" in describe_opset(stated)["reason"]


def test_a_pooling_in_a_branch_counts(assert_acts):
    model = parse_model(
        """g (float[N, 3, 4, 4] x, bool c) => (float[N, 3, 4, 4] y) {
        y = If (c) <then_branch = t () => (float[N, 3, 4, 4] a) { a = AveragePool <kernel_shape = [1, 1]> (x) },
                    else_branch = e () => (float[N, 3, 4, 4] b) { b = Relu (x) }> }""",
        17,
    )
    assert read_opset(assert_acts(raise_opset, model)) == 18


@pytest.mark.parametrize(
    ("opset", "newer", "needed"),
    [
        (20, "y = Gelu (p)", "Gelu"),
        (21, "y = Cast <to = 1, saturate = 0> (p)", "saturate of Cast"),
        (24, "y = Relu (p)", "opset 24"),
    ],
)
def test_a_pooling_goes_with_an_operator_that_opset_18_lacks(assert_idle, opset, newer, needed):
    graph = (
        f"g (float[N, 3, 6, 6] x) => (float[N, 3, A, B] y) {{ p = AveragePool <kernel_shape = [2, 2]> (x) {newer} }}"
    )
    model = parse_model(graph, opset)
    assert_idle(raise_opset, model)
    assert needed in describe_opset(model)["reason"]


def test_a_pooling_that_rounds_up_is_not_moved_to_an_older_definition(assert_idle):
    graph = POOL.replace("[2, 2]", "[2, 2], ceil_mode = 1")
    assert_idle(raise_opset, parse_model(graph, 21))


def test_a_model_without_pooling_says_why_it_is_in_its_opset():
    model = parse_model("g (float[N] x) => (float[N] y) { y = Relu (x) }", 22)
    assert describe_opset(model) == {"version": 22, "reason": "the model came in it"}
