"""Weights, biases and calibration data that int8 has no numbers for: refused or written right, each beside a model that is well."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.lower.conftest import parse_model, run_model
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.parity import compare
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.int8 import lower_int8
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.project.recipe import QuantizeSection

CONVOLUTIONS = """<ir_version: 10, opset_import: ["": 21]>
net (float[n, 4, 8, 8] x) => (float[n, 4, 8, 8] y) <float[4, 4, 3, 3] w, float[4] b, float[4, 4, 3, 3] v, float[4] c> {
    [first] h = Conv<pads = [1, 1, 1, 1]>(x, w, b) [relu] r = Relu(h) [second] y = Conv<pads = [1, 1, 1, 1]>(r, v, c) }"""


@pytest.fixture
def pictures():
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(size=(1, 4, 8, 8)).astype(np.float32)} for _ in range(24)]


def change(model, **changes):
    for tensor in model.graph.initializer:
        if tensor.name in changes:
            value = numpy_helper.to_array(tensor).copy()
            changes[tensor.name](value)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return model


def lower(model, feeds, features=("avx_vnni",)):
    return lower_int8(
        model,
        feeds,
        options=QuantizeSection(choose_by_measurement=False),
        policy=int8_policy(choose_scheme("x86_64", frozenset(features), "auto"), kernels=None),
        sqnr_db_min=20.0,
        threads=1,
        start_steps=lambda _name, _total: lambda: None,
    )


def assert_right_in_int8(model, feeds, **options):
    lowering = lower(model, feeds, **options)
    assert lowering.plan.weighted_layers == ("first", "second")
    onnx.checker.check_model(lowering.model, full_check=True)
    (row,) = compare(run_model(model, feeds[0]), run_model(lowering.model, feeds[0]))
    assert row.sqnr_db > 20
    return lowering


def test_a_nan_in_a_weight_is_refused_with_the_tensor_that_it_reaches(pictures):
    model = parse_model(CONVOLUTIONS)
    assert_right_in_int8(model, pictures)
    with pytest.raises(ToolchainError) as caught:
        lower(change(model, w=lambda weight: weight.put(40, np.nan)), pictures)
    assert caught.value.code == ExitCode.MALFORMED
    assert "h" in str(caught.value) or "r" in str(caught.value)
    assert caught.value.fix


def test_a_bias_beyond_int32_steps_is_stored_right(pictures):
    """Weights of 1e-12 have steps of 1e-14, and inputs of 1e-2: a bias of 1 would be 10^16 of them."""

    def fade(weight):
        weight[2] *= 1e-12

    model = change(parse_model(CONVOLUTIONS), w=fade, b=lambda bias: bias.put(2, 1.0))
    lowering = assert_right_in_int8(model, pictures)
    biases = [
        numpy_helper.to_array(t) for t in lowering.model.graph.initializer if t.data_type == onnx.TensorProto.INT32
    ]
    largest = max(np.abs(bias.astype(np.int64)).max() for bias in biases)
    assert 2**29 < largest <= 2**30  # the scale of the channel grew until it fits


@pytest.mark.parametrize("features", [("avx_vnni",), ()], ids=["sums of 32 bits", "sums of 16 bits"])
def test_channels_and_layers_of_zeros_are_written_with_scales_that_divide(features, pictures):
    def clear_channel(weight):
        weight[1] = 0

    model = change(parse_model(CONVOLUTIONS), w=clear_channel, v=lambda weight: weight.fill(0))
    lowering = lower(model, pictures, features=features)
    scales = [numpy_helper.to_array(t) for t in lowering.model.graph.initializer if t.name.endswith("_scale")]
    assert scales
    assert all((scale > 0).all() for scale in scales)
    bias = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "c"))
    found = run_model(lowering.model, pictures[0])["y"]
    np.testing.assert_allclose(found, np.broadcast_to(bias[:, None, None], (1, 4, 8, 8)), atol=np.abs(bias).max() / 50)


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_calibration_that_leaves_a_channel_dead_or_constant_is_right_on_itself(level, pictures):
    for picture in pictures:
        picture["x"][:, 1] = level
    assert_right_in_int8(parse_model(CONVOLUTIONS), pictures)
