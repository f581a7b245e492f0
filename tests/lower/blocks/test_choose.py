import json

import numpy as np
import pytest
from onnx import numpy_helper

from tests.lower.blocks.test_write import LAYERS, find_db, make_input
from tests.lower.conftest import parse_model, run_model
from tests.lower.dynamic.conftest import HEAD
from toolchain.agent.measure.quantiles import Ratio
from toolchain.lower import int8
from toolchain.lower.accuracy import Accuracy, Kept
from toolchain.lower.blocks import choose_blocks
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.lower.trial import Bench
from toolchain.project.recipe import QuantizeSection

NOT_SLOWER, SLOWER = Ratio(1.0, 0.9, 1.1), Ratio(2.0, 1.9, 2.1)


@pytest.fixture
def model():
    return parse_model(HEAD + LAYERS["matmul"])


def choose(model, *, sqnr_db_min=20.0, ratio=NOT_SLOWER, kernels="onnxruntime", layers=("layer",)):
    feeds = [make_input(model)] * 8
    bench = Bench(model=model, build=lambda _: model, feeds=(), references=(), kernels=kernels).on(feeds)
    compare = None if ratio is None else lambda _slower, _faster: ratio
    return choose_blocks(model, layers, [bench, bench], sqnr_db_min=sqnr_db_min, compare_speed=compare)


def test_a_layer_that_keeps_the_gate_and_costs_no_time_is_stored_in_blocks(model):
    found = choose(model)
    assert found.layers == ("layer",)
    assert found.saved_bytes == 4 * 256 * 128 - (256 * 128 + 4 * 8 * 128)
    assert found.model.ByteSize() < model.ByteSize() / 3
    assert json.loads(json.dumps(found.describe()))["reason"] is None


def test_a_layer_that_misses_the_gate_stays_in_float_and_says_by_how_much(model):
    found = choose(model, sqnr_db_min=80.0)
    assert found.model is model
    assert found.reason is not None
    assert found.reason.endswith("dB of 80")


def test_a_layer_that_makes_the_model_slower_stays_in_float(model):
    found = choose(model, ratio=SLOWER)
    assert found.model is model
    assert found.reason == "the model is 2.00 times as fast without them"


@pytest.mark.parametrize("unknown", [{"kernels": None}, {"ratio": None}, {"layers": ()}])
def test_nothing_is_tried_where_the_kernels_or_the_times_are_not_the_targets(model, unknown):
    found = choose(model, **unknown)
    assert (found.model, found.layers, found.reason) == (model, (), None)


def lower_all(model, feeds, **options):
    return int8.lower_int8(
        model,
        feeds,
        options=QuantizeSection(**options),
        policy=int8_policy(choose_scheme("x86_64", frozenset({"avx_vnni"}), "auto")),
        sqnr_db_min=20.0,
        threads=1,
        start_steps=lambda _name, _total: lambda: None,
    )


TWO = (
    HEAD
    + """g (float[n, 256] x) => (float[n, 128] y) <float[256, 256] v, float[256, 128] w, int64[1] last = {-1}> {
    [first] a = MatMul(x, v) [relu] r = Relu(a) [second] y = MatMul(r, w) }"""
)


@pytest.mark.parametrize("requested", [(), ("second",)])
def test_a_layer_that_int8_spoils_is_in_blocks_unless_the_recipe_wants_it_in_float(requested, monkeypatch):
    """Each sample has one number that takes all steps of int8 away from the others; a block has steps of its own."""
    model = parse_model(TWO)
    rng = np.random.default_rng(3)
    feeds = [{"x": rng.normal(size=(4, 256)).astype(np.float32)} for _ in range(24)]
    for feed in feeds:
        feed["x"][0] *= 3e3
    monkeypatch.setattr(int8, "bind_comparison", lambda *_args, **_options: lambda _slower, _faster: NOT_SLOWER)
    monkeypatch.setattr(int8, "find_slow_layers", lambda *_args, **_options: int8.SpeedSearch())
    monkeypatch.setattr(
        int8,
        "choose_kept",
        lambda *_args: Kept(
            reasons={"first": "noise", "second": "noise"}, accuracy=Accuracy("sqnr"), judge=lambda _: None
        ),
    )
    lowering = lower_all(model, feeds, keep_float=list(requested))
    assert lowering.blocks.layers == (("first",) if requested else ("first", "second"))
    assert set(lowering.kept_in_float) == {"first", "second"}
    assert int8.describe_int8(lowering)["blocks"]["layers"] == list(lowering.blocks.layers)
    assert find_db(run_model(model, feeds[0])["y"], run_model(lowering.model, feeds[0])["y"]) > 30


def test_a_layer_that_reads_an_infinity_stays_in_float(monkeypatch):
    text = """g (float[n, 256] x) => (float[n, 128] y) <float[256, 256] v, float[256, 128] w, float[1] most = {3}, float[1] z = {0}> {
        [first] a = MatMul(x, v) [gate] g = Less(a, most) [low] i = Log(z) [mask] r = Where(g, a, i) [second] b = MatMul(r, w)
        [clip] y = Relu(b) }"""
    model = parse_model(HEAD + text)
    (weight,) = (tensor for tensor in model.graph.initializer if tensor.name == "w")
    # Of one sign, so that -inf stays -inf.
    weight.CopyFrom(numpy_helper.from_array(np.abs(numpy_helper.to_array(weight)), "w"))
    rng = np.random.default_rng(3)
    feeds = [{"x": rng.normal(size=(4, 256)).astype(np.float32)} for _ in range(24)]
    asked = []
    monkeypatch.setattr(int8, "bind_comparison", lambda *_args, **_options: lambda _slower, _faster: NOT_SLOWER)
    monkeypatch.setattr(int8, "find_slow_layers", lambda *_args, **_options: int8.SpeedSearch())
    real = int8.choose_blocks

    def choose(made, layers, *rest, **options):
        asked.append(set(layers))
        return real(made, layers, *rest, **options)

    monkeypatch.setattr(int8, "choose_blocks", choose)
    lowering = lower_all(model, feeds)
    assert "infinite" in lowering.kept_in_float["second"]
    assert all("second" not in layers for layers in asked)
    assert "second" not in lowering.blocks.layers
