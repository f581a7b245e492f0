"""OpenVINO's times: of every kernel that ran, under the payload's names, and none of a profile that contradicts itself."""

from types import SimpleNamespace

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.layer_times import time_layers
from toolchain.agent.measure.libraries import find_module
from toolchain.agent.measure.openvino import kernels
from toolchain.agent.measure.openvino.compilation import read_model
from toolchain.agent.measure.openvino.kernels import Counted, check_counts, estimate_us
from toolchain.agent.measure.openvino.layers import list_own_layers, read_sources
from toolchain.agent.measure.session import find_runtime

needs_openvino = pytest.mark.skipif(
    find_module("openvino") is None, reason="OpenVINO is not installed (the extra openvino)"
)
KERNELS = [("conv", "Convolution"), ("pool", "Pooling")]


def count(first_us=(30, 4), mean_us=(12, 1), runs=9):
    return Counted(first_us=first_us, mean_us=mean_us, runs_us=[20.0] * runs)


@pytest.mark.parametrize("mean_us", [5, 90])
def test_the_cold_first_run_is_left_out_to_half_a_microsecond(mean_us):
    for first_us in (0, mean_us, 7 * mean_us, 40 * mean_us):
        told = (first_us + 9 * mean_us) // 10
        [time_us] = estimate_us(count((first_us,), (told,)))
        assert abs(time_us - mean_us) <= 0.51


def test_what_takes_no_whole_microsecond_has_none():
    assert estimate_us(count((3,), (0,))) == [0.0]


def assert_refused(call, found):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code == ExitCode.INVALID
    assert found in f"{caught.value.where} {caught.value.found}"
    assert caught.value.fix


def test_a_profile_that_agrees_with_itself_is_taken():
    check_counts([KERNELS, KERNELS], [count(), count()], "model.onnx")


LIES = {
    "a kernel of one opening alone": ([KERNELS, KERNELS[:1]], [count(), count((30,), (12,))], "pool (Pooling)"),
    "the same kernels in another order": ([KERNELS, KERNELS[::-1]], [count(), count()], "another order"),
    "fewer times than kernels": ([KERNELS], [count(mean_us=(12,))], "2 and 1 of 2"),
    "no time at all": ([KERNELS], [count((0, 0), (0, 0))], "no kernel takes"),
    "less than no time": ([KERNELS], [count(mean_us=(12, -1))], "pool"),
    "a first run longer than all together": ([KERNELS], [count((500, 4))], "conv"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_profile_that_contradicts_itself_is_refused(name):
    kernels_told, counted, found = LIES[name]
    assert_refused(lambda: check_counts(kernels_told, counted, "model.onnx"), found)


BLOCK = """<ir_version: 9, opset_import: ["" : 17]>
net (float[1, 32, 40, 40] x) => (float[1, 10] y) {
    [stem] a = Conv <pads = [1, 1, 1, 1]> (x, w1, b1) [stem_relu] h = Relu (a)
    [left] l = Conv <pads = [1, 1, 1, 1]> (h, w2, b2) [sum] s = Add (l, h) [act] r = Relu (s)
    [pool] p = GlobalAveragePool (r) [flat] f = Flatten (p) [head] y = Gemm <transB = 1> (f, w3, b3) }"""
WEIGHTS = {"w1": (32, 32, 3, 3), "b1": (32,), "w2": (32, 32, 3, 3), "b2": (32,), "w3": (10, 32), "b3": (10,)}
FEEDS = {"x": np.ones((1, 32, 40, 40), np.float32)}


@pytest.fixture(scope="module")
def block(tmp_path_factory):
    """Return a residual block in float32, as an ONNX file."""
    model = onnx.parser.parse_model(BLOCK)
    rng = np.random.default_rng(0)
    model.graph.initializer.extend(
        numpy_helper.from_array((rng.standard_normal(shape) / 20).astype(np.float32), name)
        for name, shape in WEIGHTS.items()
    )
    path = tmp_path_factory.mktemp("block") / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def timed(block):
    runtime = find_runtime("openvino")
    placement = runtime.read_placement(block, 1, FEEDS)
    return placement, time_layers(runtime, block, 1, FEEDS, sha256="ab", placement=placement)


@needs_openvino
def test_every_layer_of_the_placement_has_its_kernel_and_time(timed):
    placement, times = timed
    assert times.problem is None
    assert [name for kernel in times.kernels for name in kernel.layers] == [layer.name for layer in placement.layers]
    assert [layer.name for layer in placement.layers][:2] == ["stem", "left"]
    assert sum(kernel.median_us for kernel in times.kernels) > 0
    assert times.runs >= 5
    assert times.run_us > 0


class Node:
    """A node of a runtime model."""

    def __init__(self, kind, originals="", name="made_up_77"):
        self._name = name
        self._info = {"layerType": kind, "originalLayersNames": originals}

    def get_friendly_name(self):
        return self._name

    def get_rt_info(self):
        return {key: SimpleNamespace(value=value) for key, value in self._info.items()}


@needs_openvino
@pytest.mark.parametrize(
    ("node", "op", "layers"),
    [
        (Node("Convolution", "stem/WithoutBiases,stem,stem_relu"), "Convolution + Relu", ("stem",)),
        (Node("Convolution", "left/WithoutBiases,left,sum,act"), "Convolution + Add + Relu", ("left",)),
        (Node("FullyConnected", "head/WithoutBiases,y"), "FullyConnected", ("head",)),
        (Node("Eltwise", "sum,act"), "Add + Relu", ()),
        (Node("Eltwise", "Subtract_6443,Multiply_6444"), "Eltwise", ()),
        (Node("Subgraph", "sum,act"), "Subgraph + Add + Relu", ()),
        (Node("Subgraph", "left/WithoutBiases,sum"), "Subgraph + Add", ("left",)),
        (Node("Reorder"), "Reorder", ()),
    ],
    ids=[
        "a layer",
        "a residual",
        "a bias named after an output",
        "no layer",
        "nothing of the payload",
        "a subgraph",
        "one with a layer",
        "a reorder",
    ],
)
def test_what_a_kernel_does_is_told_and_a_bias_is_no_work_of_its_own(block, node, op, layers):
    find_runtime("openvino")
    [kernel] = kernels.describe_kernels(read_model(block), [node], [3.0])
    assert (kernel.op, kernel.layers, kernel.median_us) == (op, layers, 3.0)


@needs_openvino
def test_a_product_that_openvino_calls_after_the_scale_folded_into_it_has_its_own_name(tmp_path):
    find_runtime("openvino")
    text = """<ir_version: 9, opset_import: ["" : 17]>
net (float[1, 2, 64, 16] x, float s) => (float[1, 2, 64, 16] y) <float scale = {4}> {
    t = Transpose <perm = [0, 1, 3, 2]> (x) [scores] a = MatMul (x, t) [scaled] d = Div (a, scale)
    [soft] p = Softmax <axis = -1> (d) [mixed] y = MatMul (p, x) }"""
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(text.replace(", float s", "")).SerializeToString())
    sources = read_sources(read_model(path))
    assert sources == {"scores": "scores", "scaled": "scores", "y": "y"}
    for node, layers in (
        (Node("MatMul", "scaled"), ["scores"]),
        (Node("MatMul", "scores,scaled"), ["scores"]),
        (Node("Eltwise", "scaled"), []),  # a scale by itself is no layer
        (Node("Subgraph", "scaled"), []),
    ):
        assert list_own_layers(node, sources) == layers


@needs_openvino
def test_what_took_no_time_is_told_where_it_is_a_layer(block):
    find_runtime("openvino")
    nodes = [Node("Reorder"), Node("Convolution", "stem")]
    assert [kernel.name for kernel in kernels.describe_kernels(read_model(block), nodes, [0.0, 0.0])] == ["stem"]


@needs_openvino
def test_names_that_openvino_makes_up_at_every_opening_are_not_compared(block):
    find_runtime("openvino")
    own = {"stem", "sum"}
    first = [Node("Eltwise", "sum,Multiply_12"), Node("Const", name="Constant_5")]
    second = [Node("Eltwise", "sum,Multiply_99"), Node("Const", name="Constant_7")]
    assert kernels.list_work(first, own) == kernels.list_work(second, own) == [("sum", "Eltwise"), ("", "Const")]


@needs_openvino
def test_what_takes_long_is_opened_once(block, monkeypatch):
    monkeypatch.setattr(kernels, "_OPENINGS_S", 0.0)
    found, runs_us = find_runtime("openvino").time_kernels(block, 1, FEEDS)
    assert found
    assert len(runs_us) == kernels.RUNS


@needs_openvino
def test_what_never_runs_is_no_kernel(timed):
    _, times = timed
    assert {"Const", "Input", "Output"}.isdisjoint(kernel.op for kernel in times.kernels)


@needs_openvino
def test_the_bytes_of_a_layer_are_those_of_its_inputs_weights_and_outputs(timed):
    placement, _ = timed
    planes, weights = 32 * 40 * 40, 32 * 32 * 9 + 32
    assert placement.layers[0].moved_bytes == 4 * (2 * planes + weights)


@needs_openvino
def test_a_profiler_that_leaves_out_kernels_in_one_opening_gives_a_reason_and_no_times(block, timed, monkeypatch):
    placement, _ = timed
    compile_model, opened = kernels.compile_model, []

    class Fewer:
        """A compiled graph whose runtime model has lost its last kernels."""

        def __init__(self, compiled):
            self._compiled = compiled

        def __getattr__(self, name):
            return getattr(self._compiled, name)

        def get_runtime_model(self):
            nodes = self._compiled.get_runtime_model().get_ordered_ops()[:-3]
            return type("Graph", (), {"get_ordered_ops": lambda _: nodes})()

    def compile_fewer(*arguments, **options):
        opened.append(compile_model(*arguments, **options))
        return Fewer(opened[-1]) if len(opened) == 2 else opened[-1]

    monkeypatch.setattr(kernels, "compile_model", compile_fewer)
    times = time_layers(find_runtime("openvino"), block, 1, FEEDS, sha256="ab", placement=placement)
    assert times.kernels == ()
    assert "OpenVINO's profile cannot be used" in times.problem
