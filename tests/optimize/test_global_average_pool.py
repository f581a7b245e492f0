import pytest

from tests.optimize.conftest import list_operators, parse_model
from toolchain.optimize import global_average_pool


def make(shape, axes, keepdims, out, *, opset=21, extra="", more_outputs="", source="x"):
    dims = ", ".join(map(str, shape))
    if opset < 18:
        mean = f"[mean] y = ReduceMean <axes = [{', '.join(map(str, axes))}], keepdims = {keepdims}> ({source})"
        weights = ""
    else:
        mean = f"[mean] y = ReduceMean <keepdims = {keepdims}> ({source}, axes)"
        weights = f"<int64[{len(axes)}] axes = {{{', '.join(map(str, axes))}}}>"
    return parse_model(f"g (float[{dims}] x) => (float[{out}] y{more_outputs}) {weights} {{ {mean} {extra} }}", opset)


@pytest.mark.parametrize(
    ("shape", "axes", "out"),
    [
        (("N", 3, 5, 7), (2, 3), "N, 3, 1, 1"),
        (("N", 3, 5, 7), (-1, -2), "N, 3, 1, 1"),
        (("N", 3, "H", "W"), (3, 2), "N, 3, 1, 1"),
        (("N", 3, 4, 5, 6), (2, 3, 4), "N, 3, 1, 1, 1"),
    ],
)
def test_the_mean_over_all_spatial_axes_becomes_a_pool(assert_acts, shape, axes, out):
    result = assert_acts(global_average_pool, make(shape, axes, 1, out))
    assert list_operators(result) == ["GlobalAveragePool"]
    assert result.graph.node[0].name == "mean"


def test_without_kept_axes_a_flatten_follows(assert_acts):
    result = assert_acts(global_average_pool, make(("N", 3, 5, 7), (2, 3), 0, "N, 3"))
    assert list_operators(result) == ["GlobalAveragePool", "Flatten"]
    assert len({node.name for node in result.graph.node}) == 2


def test_axes_as_an_attribute_are_read_too(assert_acts):
    model = make(("N", 3, 5, 7), (2, 3), 1, "N, 3, 1, 1", opset=17)
    assert list_operators(assert_acts(global_average_pool, model)) == ["GlobalAveragePool"]


@pytest.mark.parametrize(
    ("shape", "axes", "out"),
    [
        pytest.param(("N", 3, 5, 7), (2,), "N, 3, 1, 7", id="some of the spatial axes"),
        pytest.param(("N", 3, 5, 7), (1, 2, 3), "N, 1, 1, 1", id="the channels too"),
        pytest.param(("N", 3, 5, 7), (0, 1, 2, 3), "1, 1, 1, 1", id="all axes"),
        pytest.param(("N", 5, 7, 3), (1, 2), "N, 1, 1, 3", id="channels last"),
        pytest.param(("N", 5, 8), (2,), "N, 5, 1", id="the last axis of a sequence"),
        pytest.param(("N", 8), (1,), "N, 1", id="features"),
    ],
)
def test_a_mean_over_other_axes_is_left_alone(assert_idle, shape, axes, out):
    assert_idle(global_average_pool, make(shape, axes, 1, out))


@pytest.mark.parametrize("noop", [0, 1])
def test_a_mean_without_axes_is_left_alone(assert_idle, noop):
    out = "N, 3, 5, 7" if noop else "1, 1, 1, 1"
    text = f"g (float[N, 3, 5, 7] x) => (float[{out}] y) {{ y = ReduceMean <noop_with_empty_axes = {noop}> (x) }}"
    assert_idle(global_average_pool, parse_model(text))
    text = text.replace(" {", " <int64[0] axes = {}> {").replace("(x) }", "(x, axes) }")
    assert_idle(global_average_pool, parse_model(text))


def test_axes_that_are_an_input_or_computed_are_left_alone(assert_idle):
    text = "g (float[N, 3, 5, 7] x, int64[2] a) => (float[P, Q, R, S] y) { y = ReduceMean (x, a) }"
    assert_idle(global_average_pool, parse_model(text))
    assert_idle(
        global_average_pool, parse_model(text.replace("{ y", "{ b = Abs (a) y").replace("(x, a) }", "(x, b) }"))
    )


def test_axes_that_a_caller_may_override_are_left_alone(assert_idle):
    model = make(("N", 3, 5, 7), (2, 3), 1, "N, 3, 1, 1")
    model.graph.input.add().CopyFrom(parse_model("g (int64[2] axes) => () {}").graph.input[0])
    assert_idle(global_average_pool, model)


def test_a_tensor_of_unknown_rank_is_left_alone(assert_idle):
    model = parse_model(
        "g (float[N, 3, 5, 7] x, int64[K] s) => (float[P, Q, R, S] y) <int64[2] axes = {2, 3}> { t = Reshape (x, s) y = ReduceMean (t, axes) }"
    )
    assert_idle(global_average_pool, model)


def test_the_mean_of_a_normalization_is_left_alone(assert_idle):
    model = make(("N", 3, 5, 7), (2, 3), 1, "N, 3, 1, 1", extra="d = Sub (x, y)", more_outputs=", float[N, 3, 5, 7] d")
    assert_idle(global_average_pool, model)


def test_a_mean_in_a_subgraph_is_left_alone(assert_idle):
    model = parse_model(
        """g (float[N, 3, 5, 7] x, bool c) => (float[N, 3, A, B] y) <int64[2] axes = {2, 3}> {
        y = If (c) <then_branch = t () => (float[N, 3, 1, 1] a) { a = ReduceMean (x, axes) },
                    else_branch = e () => (float[N, 3, 5, 7] b) { b = Relu (x) }> }"""
    )
    assert_idle(global_average_pool, model)
