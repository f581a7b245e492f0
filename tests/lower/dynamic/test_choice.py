from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.lower.conftest import observe_ranges, parse_model
from tests.lower.dynamic.conftest import HEAD
from toolchain.agent.measure.latency import Measurement
from toolchain.agent.measure.quantiles import Ratio
from toolchain.lower.dynamic import choice
from toolchain.lower.dynamic.choice import choose_scales
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.trial import Bench

# Each row is divided by its largest number, so that faint samples count as much as loud ones.
LOUD_AND_FAINT = (
    HEAD
    + """g (float[n, 64] x) => (float[n, 32] y) <float[64, 32] w, int64[1] last = {-1}> {
    [layer] p = MatMul(x, w) [size] a = Abs(p) [most] m = ReduceMax(a, last) [level] y = Div(p, m) }"""
)


def ask(model, feeds, scheme, *, threads=None, sqnr_db_min=20.0, **policy):
    chosen = replace(int8_policy(scheme), **policy)
    stacked = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    ranges = observe_ranges(model, stacked, chosen.plan(model, frozenset()).tensors)
    build = partial(chosen.write, model, ranges)
    bench = Bench(model=model, build=build, feeds=(), references=(), kernels="onnxruntime").on(feeds)
    return choose_scales(chosen, bench, ranges, frozenset(), sqnr_db_min=sqnr_db_min, threads=threads)


@pytest.fixture
def levels():
    rng = np.random.default_rng(3)
    return [{"x": (rng.normal(size=(1, 64)) * 10.0 ** -(i % 4)).astype(np.float32)} for i in range(16)]


def test_samples_of_many_levels_take_dynamic_scales(levels, scheme):
    found = ask(parse_model(LOUD_AND_FAINT), levels, scheme)
    assert found.chosen == "dynamic"
    assert found.sqnr_db["static"] < 20 <= found.sqnr_db["dynamic"]
    assert "MatMulInteger" in {node.op_type for node in found.bench.build(frozenset()).graph.node}
    assert found.policy.plan(found.bench.model, frozenset()).nodes[0].scale == "dynamic"


@pytest.mark.parametrize(
    ("op", "chosen"), [("Gemm(x, w, b)", "static"), ("MatMul(x, w) [bias] y = Add(p, b)", "dynamic")]
)
def test_where_no_time_is_measured_the_form_decides_that_static_kernels_are_known_for(levels, scheme, op, chosen):
    output = "y" if op.startswith("Gemm") else "p"
    model = parse_model(
        HEAD + f"g (float[n, 64] x) => (float[n, 32] y) <float[64, 32] w, float[32] b> {{ [layer] {output} = {op} }}"
    )
    found = ask(model, levels, scheme)
    assert found.chosen == chosen
    assert min(found.sqnr_db.values()) >= 20


def test_a_net_of_convolutions_with_a_gemm_is_not_even_asked(residual, feeds, scheme):
    found = ask(residual, feeds, scheme)
    assert (found.chosen, dict(found.sqnr_db)) == ("static", {})
    assert "convolutions" in found.reason


@pytest.mark.parametrize("why", ["runtime", "trained", "int8"])
def test_scales_that_were_asked_for_or_trained_stay(why, levels, scheme):
    model = parse_model(LOUD_AND_FAINT)
    if why == "int8":
        found = ask(model, levels, replace(scheme, activation_type="int8"))
    elif why == "runtime":
        found = ask(model, levels, scheme, has_dynamic=False)
    else:
        chosen = int8_policy(scheme)
        bench = Bench(model=model, build=lambda _: model, feeds=(), references=(), trained=model)
        found = choose_scales(chosen, bench, {}, frozenset(), sqnr_db_min=20.0, threads=None)
    assert (found.chosen, dict(found.sqnr_db)) == ("static", {})


@pytest.mark.parametrize(
    ("interval", "chosen"), [((1.1, 1.2), "dynamic"), ((0.9, 1.2), "static"), ((0.8, 0.9), "static")]
)
@pytest.mark.parametrize("sqnr_db_min", [20.0, 90.0])
def test_where_accuracy_is_alike_a_sure_gain_of_time_decides(
    attention, sequences, scheme, monkeypatch, interval, chosen, sqnr_db_min
):
    monkeypatch.setattr(choice, "_ALIKE_DB", 10.0)
    ratio = Ratio(ratio=sum(interval) / 2, low=interval[0], high=interval[1])
    monkeypatch.setattr(choice, "_compare_times", lambda *_, **__: ratio)
    found = ask(attention, sequences, scheme, threads=1, sqnr_db_min=sqnr_db_min)
    assert found.chosen == chosen
    assert found.describe()["speedup"] == [ratio.ratio, *interval]


def test_where_neither_passes_the_one_that_keeps_more_is_searched(levels, scheme, monkeypatch):
    monkeypatch.setattr(choice, "_compare_times", lambda *_, **__: pytest.fail("times were asked for"))
    found = ask(parse_model(LOUD_AND_FAINT), levels, scheme, threads=1, sqnr_db_min=90.0)
    assert found.chosen == "dynamic"


@pytest.mark.parametrize("disturbed", [True, False])
def test_both_variants_are_run_to_compare_them_and_count_where_nobody_disturbed(
    attention, sequences, scheme, monkeypatch, disturbed
):
    monkeypatch.setattr(choice, "_LIMIT_S", 0.05)
    monkeypatch.setattr(choice, "find_contention", lambda *_: ("others wanted the CPU",) if disturbed else ())
    found = ask(attention, sequences, scheme, threads=1)
    if disturbed:
        assert (found.chosen, found.speedup) == ("dynamic", None)
    else:
        assert found.speedup.ratio > 0


@pytest.mark.parametrize(
    ("dynamic_ns", "told"),
    [([1000], True), ([1020], True), ([500], True), ([2000], True), ([700, 1400], False)],
)
def test_a_measurement_ends_where_one_is_surely_faster_or_both_are_alike(dynamic_ns, told):
    blocks = {"static": [[1000]] * 33, "dynamic": [[dynamic_ns[index // 2 % len(dynamic_ns)]] for index in range(33)]}
    assert choice.is_told(Measurement(blocks_ns=blocks, steady=dict.fromkeys(blocks, True))) == told
