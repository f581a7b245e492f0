import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.optimize.conftest import list_operators, parse_model
from toolchain.graph.session import HostSession
from toolchain.optimize import fold_input

GRAPH = """g (uint8[N, 8, 8, 3] x) => (float[N, 4, A, B] y{more})
<float[4, 3, 3, 3] w, float[4] b, float s = {{0.02}}, float[1] t = {{-1.7}}, float[3, 1, 1] c, float[3, 1, 1] d,
 int64[3] p = {{2, 0, 1}}, int64[3] twice = {{0, 0, 1}}, float zero = {{0}}, float[1, 3, 6, 6] each, float[12, 1, 3, 3] v> {{ {body} }}"""
START = "a = Cast <to = 1> (x) i = Transpose <perm = [0, 3, 1, 2]> (a) "


def make(body, more=""):
    return parse_model(GRAPH.format(body=START + body, more=more))


def test_everything_goes_into_a_convolution_without_a_border(assert_acts):
    body = "g = Gather <axis = 1> (i, p) m = Mul (g, c) n = Add (m, d) y = Conv (n, w, b)"
    assert list_operators(assert_acts(fold_input, make(body))) == ["Cast", "Transpose", "Conv"]


def test_a_convolution_without_a_bias_gets_one(assert_acts):
    result = assert_acts(fold_input, make('n = Add (i, t) y = Conv <auto_pad = "VALID"> (n, w)'))
    assert list_operators(result) == ["Cast", "Transpose", "Conv"]
    assert len(result.graph.node[-1].input) == 3


@pytest.mark.parametrize("border", ["pads = [1, 1, 1, 1]", "pads = [0, 0, 0, 1]", 'auto_pad = "SAME_UPPER"'])
@pytest.mark.parametrize("shift", ["d", "t"])
def test_at_a_border_what_is_added_stays_in_front(assert_acts, border, shift):
    body = f"g = Gather <axis = 1> (i, p) m = Mul (g, c) n = Add (m, {shift}) y = Conv <{border}> (n, w, b)"
    assert list_operators(assert_acts(fold_input, make(body))) == ["Cast", "Transpose", "Add", "Conv"]


def test_folding_the_mean_over_a_border_would_have_been_wrong():
    padded, bare = (make(f"n = Add (i, t) y = Conv {border} (n, w, b)") for border in ("<pads = [1, 1, 1, 1]>", ""))
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in padded.graph.initializer}
    weight, bias = tensors["w"], tensors["b"]
    wrong = make("y = Conv <pads = [1, 1, 1, 1]> (i, w, b)")
    for tensor in wrong.graph.initializer:
        if tensor.name == "b":
            tensor.CopyFrom(numpy_helper.from_array(bias - np.float32(1.7) * weight.sum(axis=(1, 2, 3)), "b"))
    x = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    right, found = (HostSession(model).run({"x": x})["y"] for model in (padded, wrong))
    assert np.abs(right - found)[:, :, 1:-1, 1:-1].max() < 1e-2
    assert np.abs(right - found).max() > 1
    assert list_operators(fold_input.apply(bare).model) == ["Cast", "Transpose", "Conv"]


@pytest.mark.parametrize(
    ("body", "more"),
    [
        pytest.param("y = Conv (i, w, b)", "", id="nothing to fold"),
        pytest.param("n = Add (i, d) y = Conv <pads = [1, 1, 1, 1]> (n, w, b)", "", id="a border, and nothing else"),
        pytest.param("m = Mul (i, c) y = Conv (m, w, b) z = Relu (m)", ", float[N, 3, 8, 8] z", id="read elsewhere"),
        pytest.param("m = Mul (i, c) y = Conv (m, w, b) z = Relu (w)", ", float[4, 3, 3, 3] z", id="a shared weight"),
        pytest.param("m = Mul (i, zero) y = Conv (m, w, b)", "", id="a factor of nothing"),
        pytest.param("g = Gather <axis = 1> (i, twice) y = Conv (g, w, b)", "", id="a channel twice"),
        pytest.param("g = Gather <axis = 2> (i, p) y = Conv (g, w, b)", "", id="rows, and no channels"),
        pytest.param("m = Mul (i, c) r = Relu (m) y = Conv (r, w, b)", "", id="something between"),
    ],
)
def test_anything_else_is_left_alone(assert_idle, body, more):
    assert_idle(fold_input, make(body, more))


def test_groups_are_left_alone(assert_idle):
    model = parse_model(
        "g (uint8[N, 3, 8, 8] x) => (float[N, 12, 6, 6] y) <float[12, 1, 3, 3] v, float s = {0.02}>"
        " { a = Cast <to = 1> (x) m = Mul (a, s) y = Conv <group = 3> (m, v) }"
    )
    assert_idle(fold_input, model)


def test_an_input_of_floats_is_left_alone(assert_idle):
    model = parse_model(
        "g (float[N, 3, 8, 8] x) => (float[N, 4, 6, 6] y) <float[4, 3, 3, 3] w, float s = {0.02}>"
        " { m = Mul (x, s) y = Conv (m, w) }"
    )
    assert_idle(fold_input, model)


def test_a_model_that_was_trained_for_int8_is_left_alone(assert_idle):
    from toolchain.graph.learned_ranges import state_ranges

    model = make("m = Mul (i, c) y = Conv (m, w, b)")
    state_ranges(model, {}, {"m": (0.0, 1.0)})
    assert isinstance(model, onnx.ModelProto)
    assert "trained for int8" in assert_idle(fold_input, model)
