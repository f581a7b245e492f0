"""Heads are counted by hand here: a convolution's MACs are its weight's size times the positions of its output."""

from functools import partial

import numpy as np
import pytest

from tests.lower.conftest import observe_ranges, parse_model
from toolchain.lower.head import list_heads, race_methods
from toolchain.lower.qdq_plan import Scheme
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import int8_policy, plan_int8
from toolchain.lower.trial import Bench

# 576, 576, 2,304, 36,864 and 16 MACs: 1.4, 1.4, 5.7 and 91.4 % and next to nothing.
NET = """
<ir_version: 10, opset_import: ["": 21]>
net (float[n, 3, 8, 8] image) => (float[n, 2] scores)
<float[3, 3, 1, 1] w1, float[3, 3, 1, 1] w2, float[3, 1, 3, 4] w3, float[64, 3, 3, 1] w4, float[64, 2] w5, int64[2] axes = {2, 3}>
{
    [first] c1 = Conv(image, w1)
    [second] c2 = Conv(c1, w2)
    [third] c3 = Conv<group = 3, pads = [1, 1, 1, 2]>(c2, w3)
    [body] c4 = Conv<pads = [1, 0, 1, 0]>(c3, w4)
    [mean] f = ReduceMean<keepdims = 0>(c4, axes)
    [product] scores = MatMul(f, w5)
}
"""

SAMPLE = {"image": np.zeros((1, 3, 8, 8), np.float32)}


@pytest.fixture
def net():
    return parse_model(NET)


def test_a_head_grows_layer_by_layer_and_stays_under_a_fifth_of_the_macs(net):
    heads = list_heads(net, plan_int8(net), frozenset(), SAMPLE)
    assert [sorted(head) for head in heads] == [["first"], ["first", "second"], ["first", "second", "third"]]


def test_heads_are_those_of_a_sample_where_the_model_leaves_lengths_open(net):
    open_net = parse_model(NET.replace("float[n, 3, 8, 8]", "float[n, 3, h, w]"))
    assert list_heads(open_net, plan_int8(open_net), frozenset(), SAMPLE) == list_heads(
        net, plan_int8(net), frozenset(), SAMPLE
    )


def test_a_layer_that_is_in_float_already_is_in_no_head(net):
    heads = list_heads(net, plan_int8(net), frozenset({"first"}), SAMPLE)
    assert heads == (frozenset({"second"}), frozenset({"second", "third"}))


def test_a_net_that_begins_with_most_of_its_macs_has_no_head():
    net = parse_model(
        NET.replace("float[3, 3, 1, 1] w1", "float[3, 3, 9, 9] w1").replace(
            "Conv(image", "Conv<pads = [4, 4, 4, 4]>(image"
        )
    )
    assert list_heads(net, plan_int8(net), frozenset(), SAMPLE) == ()


def test_a_net_that_begins_with_a_product_has_no_head():
    net = parse_model("""
        <ir_version: 10, opset_import: ["": 21]>
        net (float[n, 4] x) => (float[n, 64] y) <float[4, 4] w1, float[4, 64] w2>
        { [small] a = MatMul(x, w1) [large] y = MatMul(a, w2) }
    """)
    assert plan_int8(net).weighted_layers == ("small", "large")
    assert list_heads(net, plan_int8(net), frozenset(), {"x": np.zeros((1, 4), np.float32)}) == ()


@pytest.fixture
def race(net):
    """Return what races ranges as they were seen against such that clip nearly all."""
    policy = int8_policy(Scheme("uint8", symmetric=False, weight_bits=8, reason=""), kernels=None)
    feeds = [{"image": image} for image in np.random.default_rng(3).standard_normal((8, 1, 3, 8, 8)).astype(np.float32)]
    whole = {"image": np.concatenate([feed["image"] for feed in feeds])}
    seen = observe_ranges(net, whole, plan_int8(net).tensors)
    clipped = {name: TensorRange(low=range_.low / 9, high=range_.high / 9) for name, range_ in seen.items()}
    bench = Bench(model=net, build=partial(policy.write, net, clipped), feeds=(), references=()).on(feeds)

    def run(found, sqnr_db_min=20.0):
        heads = [frozenset({"second"}), frozenset({"second", "third"})]
        return list(race_methods(bench, policy, found, frozenset({"first"}), heads, sqnr_db_min=sqnr_db_min))

    return run, seen, clipped


def test_each_head_comes_with_the_method_that_serves_the_rest_best_and_a_bench_that_builds_with_it(race):
    run, seen, clipped = race
    (head, method, bench), (longer, _, _) = run({"clipped": clipped, "seen": seen})
    assert (sorted(head), method, sorted(longer)) == (["second"], "seen", ["second", "third"])
    assert bench.measure_sqnr_db(frozenset({"first"})) > 20
    stored = {tensor.name for tensor in bench.build(frozenset({"first"})).graph.initializer}
    assert "w1" in stored
    assert "w2" not in stored  # it is integers


def test_a_net_that_no_method_brings_near_the_gate_is_given_up_at_once(race):
    run, _, clipped = race
    assert run({"clipped": clipped}) == []
