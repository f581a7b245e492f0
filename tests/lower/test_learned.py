import numpy as np
import pytest
from onnx import helper

from tests.lower.conftest import parse_model
from toolchain.graph.learned_ranges import LearnedRanges
from toolchain.lower.int8 import lower_int8
from toolchain.lower.learned import find_learned, match_weight_bits
from toolchain.lower.qdq_plan import Scheme
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import int8_policy, plan_int8
from toolchain.project.recipe import QuantizeSection

MOVED = """
<ir_version: 10, opset_import: ["": 21]>
net (float[n, 4, 2, 2] x) => (float[n, 3] y)
<float[4, 4, 1, 1] w1, float[3, 4] w2>
{
    [conv] c = Conv(x, w1)
    [pool] p = GlobalAveragePool(c)
    [flat] f = Flatten<axis = 1>(p)
    [gemm] y = Gemm<transB = 1>(f, w2)
}
"""


def lower(model, ranges, **options):
    learned = LearnedRanges(tensors=ranges, weight_bits=8)
    helper.set_model_props(model, {"edge_toolchain.ranges": learned.model_dump_json()})
    generator = np.random.default_rng(0)
    feeds = [{"x": generator.normal(size=(1, 4, 2, 2)).astype(np.float32)} for _ in range(16)]
    return lower_int8(
        model,
        feeds,
        options=QuantizeSection(choose_by_measurement=False, **options),
        policy=int8_policy(Scheme("uint8", symmetric=False, weight_bits=8, reason="cpu")),
        sqnr_db_min=0.0,
        threads=1,
        start_steps=lambda _name, _total: lambda: None,
    )


@pytest.mark.parametrize("name", ["p", "f"])
def test_a_range_serves_both_sides_of_a_node_that_only_moves_values(name):
    model = parse_model(MOVED)
    learned = LearnedRanges(tensors={name: (-1.0, 2.0)}, weight_bits=8)
    found = find_learned(model, plan_int8(model).tensors, learned)
    assert found == {"p": TensorRange(-1.0, 2.0, learned=True), "f": TensorRange(-1.0, 2.0, learned=True)}


def test_a_range_does_not_pass_a_node_that_computes():
    model = parse_model(MOVED)
    assert find_learned(model, ["x", "p"], LearnedRanges(tensors={"c": (0.0, 1.0)}, weight_bits=8)) == {}


def test_tensors_without_a_learned_range_are_calibrated_and_the_others_are_not():
    lowering = lower(parse_model(MOVED), {"x": (-0.5, 0.5), "c": (-7.0, 9.0)}, calibration="minmax")
    assert {name for name, tensor_range in lowering.ranges.items() if tensor_range.learned} == {"x", "c"}
    assert lowering.ranges["c"] == TensorRange(-7.0, 9.0, learned=True)
    assert list(lowering.methods_db) == ["minmax"]


def test_the_entry_is_not_in_the_payload():
    lowering = lower(parse_model(MOVED), {"x": (-3.0, 3.0), "c": (-3.0, 3.0), "p": (-2.0, 2.0)})
    assert list(lowering.methods_db) == ["learned"]
    assert not lowering.model.metadata_props


def test_weights_keep_the_grid_that_they_were_trained_for():
    model = parse_model(MOVED)
    generator = np.random.default_rng(1)
    integers = generator.integers(-7, 8, (3, 4))
    integers[:, 0] = 7  # the largest of each channel
    for tensor in model.graph.initializer:
        if tensor.name == "w2":
            tensor.raw_data = (integers * np.float32(0.3)).astype(np.float32).tobytes()
    learned = LearnedRanges(tensors={"x": (-3.0, 3.0), "c": (-3.0, 3.0), "p": (-2.0, 2.0)}, weight_bits=4)
    helper.set_model_props(model, {"edge_toolchain.ranges": learned.model_dump_json()})
    feeds = [{"x": generator.normal(size=(1, 4, 2, 2)).astype(np.float32)} for _ in range(4)]
    lowering = lower_int8(
        model,
        feeds,
        options=QuantizeSection(choose_by_measurement=False),
        policy=int8_policy(Scheme("uint8", symmetric=False, weight_bits=8, reason="cpu")),
        sqnr_db_min=0.0,
        threads=1,
        start_steps=lambda _name, _total: lambda: None,
    )
    stored = {t.name: np.frombuffer(t.raw_data, np.int8) for t in lowering.model.graph.initializer if t.data_type == 3}
    np.testing.assert_array_equal(stored["gemm_weight_quantized"], integers.ravel())
    assert np.abs(stored["conv_weight_quantized"]).max() == 127  # not on such a grid: all 8 bits


def test_a_cpu_that_takes_fewer_bits_than_were_trained_says_so():
    seven = Scheme("uint8", symmetric=False, weight_bits=7, reason="saturates")
    matched = match_weight_bits(seven, LearnedRanges(tensors={}, weight_bits=8))
    assert (matched.weight_bits, matched.trained_weight_bits) == (7, None)
    assert "trained for 8-bit" in matched.reason
    assert match_weight_bits(seven, None) is seven


def test_weights_trained_for_8_bits_keep_their_grid_where_it_is_safe_and_the_reason_says_that_others_may_not():
    safe = Scheme("uint8", symmetric=False, weight_bits=8, reason="saturates", saturates=True)
    matched = match_weight_bits(safe, LearnedRanges(tensors={}, weight_bits=8))
    assert (matched.weight_bits, matched.trained_weight_bits) == (8, 8)
    assert "trained for 8-bit" in matched.reason
    assert match_weight_bits(safe, LearnedRanges(tensors={}, weight_bits=7)).reason == "saturates"
