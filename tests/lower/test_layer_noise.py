"""What each layer alone costs, found in one pass, is what a trial of each finds."""

import numpy as np
import pytest

from tests.lower.conftest import observe_ranges, parse_model
from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower import layer_noise, trial
from toolchain.lower.layer_noise import measure_alone_db
from toolchain.lower.qdq import write_qdq
from toolchain.lower.runtimes.onnxruntime import plan_int8

LAYERS = ("conv1", "conv2", "gemm")

# An attention's query and key share what they read, the sum behind them is a residual, and one weight serves two layers.
TEXT = """
<ir_version: 10, opset_import: ["": 21]>
text (float[1, t, 8] tokens) => (float[1, t, 8] y)
<float[8, 8] wq, float[8] bq, float[8, 8] wk>
{
    [query] q0 = MatMul(tokens, wq)
    [bias] q = Add(q0, bq)
    [key] k = MatMul(tokens, wk)
    [sum] s = Add(q, k)
    [again] z = MatMul(s, wk)
    [residual] y = Add(z, tokens)
}
"""


@pytest.fixture
def text(scheme):
    model = parse_model(TEXT)
    generator = np.random.default_rng(3)
    feeds = [{"tokens": generator.standard_normal((1, length, 8)).astype(np.float32)} for length in (5, 3, 7, 5)]
    plan = plan_int8(model)
    ranges = observe_ranges(model, feeds[2], plan.tensors)
    return model, write_qdq(model, plan, ranges, scheme), plan, feeds


def count():
    return None


def test_one_pass_finds_what_a_trial_of_each_layer_finds(bench, residual):
    plan = plan_int8(residual)
    alone_db = bench.rank_alone_db(plan, LAYERS, frozenset(), samples=4, on_layer=count)
    tried_db = bench.rank_by_trials(LAYERS, frozenset(), samples=4, on_layer=count)
    assert alone_db.keys() == tried_db.keys()
    for layer in LAYERS:
        assert alone_db[layer] == pytest.approx(tried_db[layer], abs=0.5)


def test_a_layer_that_is_spoiled_is_told_from_the_others_and_one_that_is_exact_costs_nothing(residual, images, scheme):
    plan, feeds = plan_int8(residual), [{"image": images["image"][:1]}]
    ranges = observe_ranges(residual, images, plan.tensors)
    broken = write_qdq(residual, plan, ranges, scheme)
    weights = {tensor.name: tensor for tensor in broken.graph.initializer}
    scale = next(node.input[1] for node in broken.graph.node if node.output[0] in {"conv2_weight_dequantized", ""})
    weights[scale].raw_data = (np.frombuffer(weights[scale].raw_data, np.float32) * 2).tobytes()
    sharing = {layer: (layer,) for layer in LAYERS}
    right = measure_alone_db(residual, write_qdq(residual, plan, ranges, scheme), plan, sharing, feeds)
    wrong = measure_alone_db(residual, broken, plan, sharing, feeds)
    assert wrong["conv2"] < right["conv2"] - 10
    assert [wrong[layer] for layer in ("conv1", "gemm")] == [right[layer] for layer in ("conv1", "gemm")]


def test_samples_of_different_lengths_and_layers_that_share_a_weight_add_their_noise(text):
    model, lowered, plan, feeds = text
    together = measure_alone_db(model, lowered, plan, {"query": ("query",), "key": ("key", "again")}, feeds)
    each = measure_alone_db(model, lowered, plan, {"key": ("key",), "again": ("again",)}, feeds)
    noise = sum(10 ** (-sqnr_db / 10) for sqnr_db in each.values())
    assert together["key"] == pytest.approx(-10 * np.log10(noise), abs=1e-6)
    assert 20 < together["query"] < 60


def test_a_layer_whose_activation_stands_behind_other_layers_still_has_what_it_reads(scheme):
    model = parse_model(
        """<ir_version: 10, opset_import: ["": 21]>
        branches (float[1, 4, 6, 6] x) => (float[1, 4, 6, 6] y) <float[4, 4, 1, 1] a, float[4, 4, 1, 1] b>
        { [left] l = Conv(x, a) [right] r = Conv(x, b) [right_relu] rr = Relu(r) [left_relu] lr = Relu(l) [sum] y = Add(lr, rr) }"""
    )
    feeds = [{"x": np.random.default_rng(4).standard_normal((1, 4, 6, 6)).astype(np.float32)}]
    plan = plan_int8(model)
    lowered = write_qdq(model, plan, observe_ranges(model, feeds[0], plan.tensors), scheme)
    found = measure_alone_db(model, lowered, plan, {"left": ("left",), "right": ("right",)}, feeds)
    assert all(20 < sqnr_db < 60 for sqnr_db in found.values())


def test_layers_wait_for_another_pass_where_memory_ends_and_none_is_left_out(text, monkeypatch):
    model, lowered, plan, feeds = text
    sharing = {layer: (layer,) for layer in ("query", "key", "again")}
    found = measure_alone_db(model, lowered, plan, sharing, feeds)
    monkeypatch.setattr(layer_noise, "_MEMORY_BYTES", 0)
    told = []
    assert measure_alone_db(model, lowered, plan, sharing, feeds, on_layer=lambda: told.append(1)) == found
    assert len(told) == len(sharing)


def test_a_model_of_which_a_piece_does_not_open_is_ranked_by_trials_and_the_counter_ends_at_its_total(
    bench, residual, monkeypatch
):
    def refuse(*_arguments, on_layer, **_options):
        on_layer()
        raise ToolchainError(ExitCode.MALFORMED, "ONNX Runtime refuses the model", fix="none")

    monkeypatch.setattr(trial, "measure_alone_db", refuse)
    told = []
    found = bench.rank_alone_db(plan_int8(residual), LAYERS, frozenset(), samples=4, on_layer=lambda: told.append(1))
    assert found == bench.rank_by_trials(LAYERS, frozenset(), samples=4, on_layer=count)
    assert len(told) == len(LAYERS)


def test_layers_that_stay_in_float_are_not_needed_to_rank_the_others(bench, residual):
    kept = frozenset({"conv1", "gemm"})
    found = bench.rank_alone_db(plan_int8(residual), ("conv2",), kept, samples=4, on_layer=count)
    tried = bench.rank_by_trials(("conv2",), kept, samples=4, on_layer=count)
    assert found == pytest.approx(tried, abs=0.5)
