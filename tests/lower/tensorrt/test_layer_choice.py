"""Layers of TensorRT's int8 chosen by measured time, on a GPU of fakes whose times are in the test's hands."""

import dataclasses
import json
import math
import sys

import onnx
import pytest

from tests.agent.measure.tensorrt.fake_cuda import FakeCudart
from tests.agent.measure.tensorrt.fake_tensorrt import FakeTensorRt
from tests.agent.measure.tensorrt.install_fakes import install_fakes
from toolchain.agent.measure.conditions import Conditions
from toolchain.agent.measure.facts import is_this_accelerator, read_facts
from toolchain.agent.measure.latency import Measurement
from toolchain.lower import speed
from toolchain.project.target import BuildSection

LAYERS = "conv1,conv2,gemm"
SLOW = {("conv2", "int8"): 2.0}


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path / "toolchain"))
    cudart = FakeCudart()
    return install_fakes(monkeypatch, tmp_path, cudart, FakeTensorRt(cudart)).trt


@pytest.fixture
def choose(gpu, lower, residual, feeds, monkeypatch):
    """Return what lowers to int8, given the kernels' times and how long the model takes with which layers in float."""

    def run(kernel_ms, models_ms=None, **changes):
        gpu.kernel_ms = kernel_ms
        measured = []

        def measure(runs, **_options):
            for call in runs.values():
                call()
            measured.append(set(runs))
            blocks = {name: [[int((models_ms or {}).get(name, 3.0) * 1e6)]] * 33 for name in runs}
            return Measurement(blocks_ns=blocks, steady=dict.fromkeys(runs, True))

        monkeypatch.setattr(speed, "measure_latency", measure)
        monkeypatch.setattr(speed, "read_conditions", lambda _root: Conditions({}, {}, {}))
        folder = lower(residual, feeds, "gpu", "int8", **{"facts": read_facts("tensorrt"), **changes})
        document = json.loads((folder / "lowering.json").read_text(encoding="utf-8"))
        return onnx.load(folder / "model.onnx"), document, measured

    return run


def list_int8(model):
    made = {node.output[0]: node.op_type for node in model.graph.node}
    return {
        node.name
        for node in model.graph.node
        if node.op_type != "Add" and made.get(node.input[0]) == "DequantizeLinear"
    }


def test_a_layer_that_int8_slows_down_stays_in_float_where_the_whole_model_gains(choose):
    model, document, measured = choose(SLOW, {"conv2": 2.0})
    assert document["held_back"] == ["conv2"]
    (kept,) = [layer for layer in document["kept_in_float"] if layer["name"] == "conv2"]
    assert (
        kept["reason"] == "2000 us in int8, 1000 us in float; the model is 1.50 times as fast with this layer in float"
    )
    assert list_int8(model) == {"conv1", "gemm"}
    assert measured == [{"", "conv2", LAYERS}, {"", "conv2"}]
    assert document["speed"]["status"] == "decided"


def test_a_profile_alone_decides_nothing(choose):
    model, document, _ = choose(SLOW)  # with the layer in float the model is not faster
    assert document["held_back"] == []
    assert list_int8(model) == {"conv1", "conv2", "gemm"}
    assert document["speed"]["status"] == "decided"


def test_what_is_timed_is_what_ships_float16_around_int8_included(choose, gpu, monkeypatch):
    built = []
    monkeypatch.setattr(gpu, "build", lambda *parts, build=gpu.build: (built.append(parts[1].model), build(*parts))[1])
    model, _, _ = choose(SLOW, {"conv2": 2.0})
    assert model.graph.node in [made.graph.node for made in built]
    assert all(any(t.data_type == onnx.TensorProto.FLOAT16 for t in made.graph.initializer) for made in built)


@pytest.mark.parametrize("time_ms", [math.nan, -1.0, math.inf])
def test_times_that_are_none_leave_all_in_int8_and_say_so(choose, time_ms):
    model, document, measured = choose({("conv2", "int8"): time_ms}, {LAYERS: 1.0})
    assert (document["held_back"], measured) == ([], [])
    assert document["speed"]["status"] == "undecided"
    assert "conv2" in document["speed"]["problems"][0]
    assert list_int8(model) == {"conv1", "conv2", "gemm"}


def test_where_all_layers_are_free_only_the_whole_model_is_asked(choose):
    free = {(name, kind): 0.0 for name in ("conv1", "conv2", "gemm") for kind in ("int8", "float")}
    _, document, measured = choose(free)
    assert measured == [{"", LAYERS}]
    assert document["held_back"] == []


def test_all_in_float_is_kept_where_that_is_faster(choose):
    _, document, _ = choose({}, {LAYERS: 2.0})
    assert set(document["held_back"]) == {"conv1", "conv2", "gemm"}


@pytest.mark.parametrize(
    "changed",
    [
        {"runtime_version": "10.16.1"},
        {"accelerator": "sm_110"},
        {"details": {"gpu": "Thor"}},
        {"runtime": "onnxruntime"},
    ],
)
def test_nothing_is_timed_for_a_board_that_is_not_this_gpu(choose, gpu, changed):
    facts = dataclasses.replace(read_facts("tensorrt"), **changed)
    assert not is_this_accelerator(facts)
    _, document, measured = choose(SLOW, {"conv2": 2.0}, facts=facts)
    assert (gpu.builds, measured, document["held_back"]) == (0, [], [])
    assert document["speed"]["status"] == "not measured"


@pytest.mark.parametrize("changes", [{"choose_by_measurement": False}, {"build": BuildSection(dla_core=0)}])
def test_nothing_is_timed_where_it_is_forbidden_or_a_dla_runs_it(choose, gpu, changes):
    _, document, _ = choose(SLOW, {"conv2": 2.0}, **changes)
    assert (gpu.builds, document["held_back"]) == (0, [])


def test_facts_of_this_gpu_are_known_where_it_is_there_and_nowhere_else(gpu, monkeypatch):
    facts = read_facts("tensorrt")
    assert is_this_accelerator(facts)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert not is_this_accelerator(facts)


def test_engines_of_trials_are_kept_nowhere(choose, tmp_path):
    choose(SLOW, {"conv2": 2.0})
    assert not list((tmp_path / "cache").rglob("*.engine"))


def test_a_gpu_that_cannot_run_an_engine_of_its_own_stops_the_lowering_with_the_reason(choose, gpu):
    gpu.failing = {"build_serialized_network"}
    with pytest.raises(Exception, match="TensorRT cannot build this engine"):
        choose(SLOW)
