import numpy as np
import onnx
import pytest

from tests.lower.conftest import parse_model
from tests.lower.vision_transformer import make_pictures, make_transformer
from toolchain.lower.fp16 import convert_to_float16
from toolchain.lower.fp16_divisors import find_vanishing, trace_divisors
from toolchain.lower.fp16_layers import lower_fp16
from toolchain.lower.trial import open_emulated

HEAD = '<ir_version: 10, opset_import: ["": 20]>'


def ignore_steps(_name, _total):
    return lambda: None


@pytest.fixture
def feeds():
    generator = np.random.default_rng(0)
    return [{"x": generator.standard_normal((1, 4)).astype(np.float32)} for _ in range(8)]


def run_in_float16(model, feed):
    (output,) = open_emulated(model, threads=1).run(feed).values()
    return output


@pytest.mark.parametrize("epsilon", [1e-12, 1e-8])
def test_an_epsilon_that_vanishes_in_float16_stays_in_float32_although_no_sample_needs_it(epsilon):
    model, pictures = make_transformer(epsilon=epsilon), make_pictures(8)
    for tensor in model.graph.initializer:
        if tensor.name == "position":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros((16, 32), np.float32), "position"))
    dark = {"image": np.zeros((1, 3, 16, 16), np.float32)}  # its variance is 0, and 0 / 0 is no number
    assert not np.isfinite(run_in_float16(convert_to_float16(model), dark)).all()
    lowering = lower_fp16(model, pictures, sqnr_db_min=40.0, start_steps=ignore_steps)
    assert {"a_epsilon", "b_epsilon", "c_epsilon"} <= set(lowering.kept_in_float)
    found = run_in_float16(lowering.model, dark)
    np.testing.assert_allclose(found, run_in_float16(model, dark), rtol=0.02, atol=0.02)


NORMALIZED = (
    f"{HEAD} net (float[n, 4] x) => (float[n, 4] y) <float two = {{2.0}}, int64[1] last = {{-1}}> {{ [square] a = Pow(x, two) "
    "[mean] b = ReduceMean(a, last) [root] c = Sqrt(b) [divide] d = Div(x, c) [relu] y = Relu(d) }"
)


def test_a_sum_that_vanishes_in_one_late_sample_alone_is_no_divisor_in_float16(feeds):
    model = parse_model(NORMALIZED)
    faint = {"x": np.full((1, 4), 1e-4, np.float32)}  # after those that the search runs: its squares are 0 in float16
    assert not np.isfinite(run_in_float16(convert_to_float16(model), faint)).all()
    lowering = lower_fp16(model, [*(feeds * 5), faint], sqnr_db_min=50.0, start_steps=ignore_steps)
    assert {"square", "mean", "root"} <= set(lowering.kept_in_float)
    np.testing.assert_allclose(run_in_float16(lowering.model, faint), 1.0, rtol=1e-3)


def test_a_divisor_that_never_vanishes_stays_in_float16(feeds):
    lowering = lower_fp16(parse_model(NORMALIZED), feeds * 5, sqnr_db_min=50.0, start_steps=ignore_steps)
    assert dict(lowering.kept_in_float) == {}


def test_a_logarithm_of_what_becomes_zero_stays_in_float32(feeds):
    model = parse_model(
        f"{HEAD} net (float[n, 4] x) => (float[n, 4] y) <float far = {{20.0}}, float near = {{0.1}}> "
        "{ [spread] a = Mul(x, far) [likely] b = Softmax<axis = -1>(a) [log] c = Log(b) [shrink] y = Mul(c, near) }"
    )
    assert not np.isfinite([run_in_float16(convert_to_float16(model), feed) for feed in feeds]).all()
    lowering = lower_fp16(model, feeds, sqnr_db_min=50.0, start_steps=ignore_steps)
    assert {"likely", "log"} <= set(lowering.kept_in_float)
    assert np.isfinite([run_in_float16(lowering.model, feed) for feed in feeds]).all()


def test_the_way_to_a_division_ends_at_a_sum_and_has_its_constant():
    found = trace_divisors(
        parse_model(
            f"{HEAD} net (float[n, 4] x) => (float[n, 4] y) <float epsilon = {{1e-12}}> {{ [abs] a = Abs(x) "
            "[guard] b = Add(a, epsilon) [root] c = Sqrt(b) [divide] y = Div(x, c) }"
        )
    )
    assert [vanishing.tensor for vanishing in found] == ["c", "b", "epsilon"]
    assert found[-1].nodes == ("divide", "root", "guard")


def test_a_model_that_divides_nothing_has_no_way(residual):
    assert trace_divisors(residual) == ()


@pytest.mark.parametrize(
    ("value", "vanishes"), [(2.0**-24, False), (2.0**-25 * 1.01, False), (2.0**-25, True), (1e-30, True), (0.0, False)]
)
def test_what_vanishes_is_what_float16_rounds_to_zero(value, vanishes):
    values = np.array([1.0, -value], np.float32)
    assert (find_vanishing(values) is not None) == vanishes
    assert (np.float16(np.float32(value)) == 0) == (vanishes or value == 0)
