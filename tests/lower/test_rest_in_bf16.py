"""What an int8 lowering leaves in float, in bf16: only where it was listed, keeps the gate and is faster twice."""

import json
from dataclasses import replace

import onnx
import pytest

from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.libraries import find_module
from toolchain.agent.measure.openvino.compilation import COMPUTES_IN
from toolchain.agent.measure.quantiles import Ratio
from toolchain.lower.rest_in_bf16 import choose_rest, describe_rest
from toolchain.lower.runtimes import openvino

FASTER, UNSURE, NOT_FASTER = Ratio(2.0, 1.9, 2.1), Ratio(1.1, 0.9, 1.3), Ratio(1.0, 0.99, 1.01)


def choose(lowered, feeds, ratios, *, sqnr_db_min=20.0, model=None):
    measured = iter(ratios)
    marked = onnx.ModelProto()
    marked.CopyFrom(lowered)
    marked.metadata_props.add(key=COMPUTES_IN, value="bf16")
    return choose_rest(
        lowered,
        marked,
        model=model or lowered,
        feeds=feeds,
        kernels="onnxruntime",  # it reads no such word: what is judged here is the choice
        sqnr_db_min=sqnr_db_min,
        compare_speed=lambda _slower, _faster: next(measured),
    )


def is_marked(model):
    return any(entry.key == COMPUTES_IN and entry.value == "bf16" for entry in model.metadata_props)


def test_what_is_faster_twice_is_computed_in_bf16_and_people_are_told(residual, feeds):
    found = choose(residual, feeds, [FASTER, FASTER])
    assert (is_marked(found.model), found.precision, found.speedup) == (True, "bf16", 2.0)
    assert "bf16: 2.00 times as fast" in describe_rest(found)[0]
    assert json.loads(json.dumps(found.describe()))["precision"] == "bf16"


@pytest.mark.parametrize("ratios", [[FASTER, UNSURE], [FASTER, NOT_FASTER], [UNSURE], [NOT_FASTER]])
def test_what_is_not_faster_twice_stays_in_float32_and_nothing_is_said(residual, feeds, ratios):
    found = choose(residual, feeds, ratios)
    assert (found.model, found.precision, describe_rest(found)) == (residual, "float32", [])


def test_what_misses_the_gate_stays_in_float32_before_anything_is_timed(residual, scaled, feeds):
    found = choose(scaled, feeds, [], model=residual)
    assert (found.model, found.precision, found.speedup) == (scaled, "float32", None)
    assert found.sqnr_db < 20.0


@pytest.fixture
def scaled(residual):
    """Return a model that returns twice what it should: 0 dB."""
    model = onnx.ModelProto()
    model.CopyFrom(residual)
    for node in model.graph.node:
        node.output[:] = ["halved" if name == model.graph.output[0].name else name for name in node.output]
    model.graph.node.append(onnx.helper.make_node("Add", ["halved", "halved"], [model.graph.output[0].name], "twice"))
    return model


needs_openvino = pytest.mark.skipif(
    find_module("openvino") is None, reason="OpenVINO is not installed (the extra openvino)"
)
WITH, WITHOUT = ("avx512_bf16", "avx512_vnni"), ("avx512_vnni",)


@needs_openvino
@pytest.mark.parametrize(
    ("listed", "features", "options", "may"),
    [
        (["int8", "bf16", "float32"], WITH, {}, True),
        (["int8", "float32"], WITH, {}, False),
        (["int8", "bf16", "float32"], WITHOUT, {}, False),
        (["int8", "bf16", "float32"], WITH, {"keep_float": ["gemm"]}, False),
        (["int8", "bf16", "float32"], WITH, {"choose_by_measurement": False}, False),
    ],
)
def test_only_a_target_that_lists_bf16_gets_it_on_a_cpu_that_has_it(
    lower, residual, feeds, monkeypatch, listed, features, options, may
):
    monkeypatch.setattr(openvino, "bind_comparison", lambda *_arguments, **_options: lambda _slower, _faster: FASTER)
    # The CPU is like this machine's in all but what it tells of bf16.
    monkeypatch.setattr(openvino, "find_kernels", lambda *_arguments: "openvino")
    facts = replace(read_facts("openvino"), cpu_features=features)
    folder = lower(residual, feeds, "cpu-openvino", "int8", listed=listed, facts=facts, **options)
    document = json.loads((folder / "lowering.json").read_text())
    assert is_marked(onnx.load(folder / "model.onnx")) is may
    assert ("rest" in document) is may
    assert any("bf16" in note for note in document["notes"]) is may


@needs_openvino
def test_a_users_model_that_says_bf16_does_not_get_it_unasked(lower, residual, feeds):
    residual.metadata_props.add(key=COMPUTES_IN, value="bf16")
    folder = lower(residual, feeds, "cpu-openvino", "int8", listed=["int8", "float32"])
    assert not is_marked(onnx.load(folder / "model.onnx"))
