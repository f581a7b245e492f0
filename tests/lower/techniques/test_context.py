import math
from functools import partial

import numpy as np
import pytest
from onnx import numpy_helper

from tests.lower.conftest import observe_ranges, parse_model
from toolchain.lower.adjustment import Adjustment
from toolchain.lower.qdq_plan import Scheme
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.techniques import context
from toolchain.lower.techniques.context import improve_in_context
from toolchain.lower.trial import Bench


@pytest.fixture
def improve(subject, samples, monkeypatch):
    """Return what improves the net for a gate, and tells which layers were in float meanwhile."""
    seen, work = [], context.improve_numbers
    monkeypatch.setattr(
        context,
        "improve_numbers",
        lambda *arguments, **options: seen.append(arguments[4]) or work(*arguments, **options),
    )

    def run(sqnr_db_min, enough_db=math.inf):
        found = improve_in_context(
            subject.bench,
            [subject.bench],
            subject.plan,
            subject.policy,
            {"minmax": subject.ranges},
            "minmax",
            samples,
            frozenset(),
            sqnr_db_min=sqnr_db_min,
            enough_db=enough_db,
            start_steps=lambda _name, _total: lambda: None,
        )
        return found, seen.pop()

    return run


def test_all_layers_are_improved_together_where_they_keep_the_gate(subject, improve):
    found, in_float = improve(subject.measure_db(Adjustment()) - 1)
    assert (in_float, found.alone_db) == (frozenset(), {})
    assert found.techniques
    assert found.others[0].build == found.bench.build != subject.bench.build


def test_layers_that_cannot_stay_are_in_float_meanwhile_and_the_loudest_are_taken(subject, improve):
    gate_db = subject.measure_db(Adjustment()) + 1
    _, in_float = improve(gate_db, enough_db=-200.0)
    found, _ = improve(gate_db, enough_db=-200.0)
    assert in_float < set(subject.plan.weighted_layers)
    loudest = sorted(found.alone_db, key=found.alone_db.get)[: len(in_float)]
    assert in_float == set(loudest) != set()


def test_layers_that_numbers_can_keep_in_int8_are_improved_with_all_others(subject, improve):
    """Else each would have learned nothing, and could not come back: EfficientNet-Lite0 lost ten layers so, and a third of its speed."""
    plain_db = subject.measure_db(Adjustment())
    whole, _ = improve(plain_db - 1)
    gained_db = whole.bench.measure_sqnr_db(frozenset()) - subject.bench.measure_sqnr_db(frozenset())
    assert gained_db > 1.0
    found, in_float = improve(subject.bench.measure_sqnr_db(frozenset()) + gained_db / 2)
    assert in_float == frozenset()
    assert found.bench.measure_sqnr_db(frozenset()) == whole.bench.measure_sqnr_db(frozenset())


def test_all_layers_are_improved_together_where_something_else_decides(improve):
    found, in_float = improve(None)
    assert (in_float, found.alone_db) == (frozenset(), {})


def test_a_ranking_is_handed_on_where_nothing_was_improved_since(subject, improve):
    gate_db = subject.measure_db(Adjustment()) + 1
    left, _ = improve(gate_db, enough_db=-200.0)
    assert (left.alone_db.keys(), left.techniques) == (set(subject.plan.weighted_layers), ())
    improved, _ = improve(gate_db)
    assert bool(improved.alone_db) is (improved.bench.build == subject.bench.build)


HEADED = """
<ir_version: 10, opset_import: ["": 21]>
net (float[n, 3, 8, 8] image) => (float[n, 5] scores)
<float[3, 3, 1, 1] w1, float[32, 3, 3, 3] w2, float[32, 5] w3, int64[2] axes = {2, 3}>
{
    [small] c1 = Conv(image, w1)
    [large] c2 = Conv(c1, w2)
    [relu] r2 = Relu(c2)
    [mean] f = ReduceMean<keepdims = 0>(r2, axes)
    [product] scores = MatMul(f, w3)
}
"""


@pytest.fixture
def improve_headed(samples):
    """Return what improves a net in which one layer's weights of 5 bits lose most of what its inputs hold."""

    def run(spoilt, gate_db, method="seen"):
        model = parse_model(HEADED)
        weights = {tensor.name: tensor for tensor in model.graph.initializer}
        values = numpy_helper.to_array(weights[spoilt]).copy()
        values[:, 0] *= 100.0
        weights[spoilt].CopyFrom(numpy_helper.from_array(values, spoilt))
        feeds = [{"image": sample["image"] * np.float32([0.01, 1, 1]).reshape(3, 1, 1)} for sample in samples]
        policy = int8_policy(Scheme("uint8", symmetric=False, weight_bits=5, reason=""), kernels=None)
        plan = policy.plan(model, frozenset())
        seen = observe_ranges(model, {"image": np.concatenate([feed["image"] for feed in feeds])}, plan.tensors)
        clipped = {name: TensorRange(low=range_.low / 2, high=range_.high / 2) for name, range_ in seen.items()}
        found = {"seen": seen, "clipped": clipped}
        bench = Bench(model=model, build=partial(policy.write, model, found[method]), feeds=(), references=())
        benches = bench.on(feeds[:32]), [bench.on(feeds[32:64])]
        improved = improve_in_context(
            *benches,
            plan,
            policy,
            found,
            method,
            feeds,
            frozenset(),
            sqnr_db_min=gate_db,
            enough_db=math.inf,
            start_steps=lambda _name, _total: lambda: None,
        )
        return improved, found

    return run


def test_a_head_in_float_is_enough_where_it_alone_spoils_the_outputs_and_no_layer_is_ranked(
    improve_headed, monkeypatch
):
    monkeypatch.setattr(context, "rank_layers", None)
    found, ranges = improve_headed("w1", 18.0)
    assert (found.head, found.alone_db, found.ranges) == (frozenset({"small"}), {}, ranges["seen"])
    assert found.bench.measure_sqnr_db(frozenset()) < 18.0 <= found.bench.measure_sqnr_db(found.head)
    assert all(other.measure_sqnr_db(found.head) >= 18.0 for other in found.others)


def test_beside_a_head_in_float_the_calibration_method_is_chosen_anew(improve_headed):
    found, ranges = improve_headed("w1", 18.0, method="clipped")
    assert (found.head, found.ranges) == (frozenset({"small"}), ranges["seen"])


def test_a_head_that_is_not_enough_stays_in_int8(improve_headed):
    found, _ = improve_headed("w2", 18.0)
    assert found.head == frozenset()
