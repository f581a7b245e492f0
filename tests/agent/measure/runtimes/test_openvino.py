"""OpenVINO as the agent's runtime: what it would do silently is refused, turned off or told."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from toolchain.agent.clock import read_monotonic_ns
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import TensorSpec
from toolchain.agent.measure.libraries import find_libraries, find_module
from toolchain.agent.measure.openvino.compilation import _check_pinned
from toolchain.agent.measure.pinning import _read_cpus
from toolchain.agent.measure.session import find_runtime, open_session
from toolchain.agent.measure.sqnr import measure_powers, to_db

# Not importorskip: a plain import of it sends telemetry.
pytestmark = pytest.mark.skipif(
    find_module("openvino") is None, reason="OpenVINO is not installed (the extra openvino)"
)

HEAD = '<ir_version: 9, opset_import: ["" : 17]>'
RNG = np.random.default_rng(0)


def draw(*shape):
    return (np.random.default_rng(len(shape)).standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a graph's text, with these weights, as an ONNX file."""

    def write_graph(text, **weights):
        model = onnx.parser.parse_model(f"{HEAD} {text}")
        model.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
        )
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write_graph


def open_model(path, threads=1):
    return open_session("openvino", path, threads)


def read_placement(path, feeds):
    return find_runtime("openvino").read_placement(path, 1, feeds)


def assert_refused(code, call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def measure_db(reference, found):
    powers = measure_powers(reference, found)
    return float(to_db(powers.signal, powers.noise))


def test_a_session_tells_its_inputs_and_outputs_and_runs(write_model, samples):
    session = open_model(write_model("float32"))
    assert session.inputs == (TensorSpec(name="input", dtype="float32", shape=(None, 3, 8, 8)),)
    assert session.outputs == (TensorSpec(name="logits", dtype="float32", shape=(None, 4)),)
    inputs, outputs, _ = samples
    np.testing.assert_allclose(session.run({"input": inputs})["logits"], outputs, rtol=1e-4, atol=1e-5)
    assert session.engine is None
    session.close()


def test_outputs_stay_as_they_were_when_another_run_follows(write):
    session = open_model(write("net (float[n, 2] x) => (float[n, 2] y) { y = Neg (x) }"))
    first = session.run({"x": np.ones((1, 2), np.float32)})["y"]
    session.run({"x": np.full((1, 2), 5, np.float32)})
    np.testing.assert_array_equal(first, [[-1, -1]])


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_the_one_asked_for(write_model, threads):
    compiled = open_model(write_model("float32"), threads)._request.get_compiled_model()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == threads


def is_pinned(thread):
    return "-" not in _read_cpus(thread) and "," not in _read_cpus(thread)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two threads are pinned to two CPUs")
def test_pinned_threads_keep_to_a_cpu_while_they_run_and_the_callers_is_free_again_after_it(write_model, samples):
    session = open_session("openvino", write_model("float32"), 2, pins_threads=True)
    compiled, own = session._request.get_compiled_model(), str(threading.get_native_id())
    assert compiled.get_property("ENABLE_CPU_PINNING")
    seen, end = threading.Event(), threading.Event()

    def watch():
        while not end.is_set():
            if is_pinned(own):
                seen.set()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    limit_ns = read_monotonic_ns() + 60 * 1_000_000_000
    while not seen.is_set() and read_monotonic_ns() < limit_ns:
        session.run({"input": samples[0]})
    end.set()
    watcher.join()
    assert seen.is_set()
    assert not is_pinned(own)


@pytest.mark.parametrize("told", [{"ENABLE_CPU_PINNING": False}, {"INFERENCE_NUM_THREADS": 1}])
def test_a_graph_that_is_not_pinned_or_on_fewer_threads_is_refused(told):
    properties = {"ENABLE_CPU_PINNING": True, "INFERENCE_NUM_THREADS": 2}
    _check_pinned(SimpleNamespace(get_property=properties.get), Path("model.onnx"), 2)
    compiled = SimpleNamespace(get_property={**properties, **told}.get)
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: _check_pinned(compiled, Path("model.onnx"), 2))
    assert error.expected == "2 pinned threads"


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"other": np.zeros((1, 3, 8, 8), np.float32)},
        {"input": np.zeros((1, 3, 8, 8), np.float32), "other": np.zeros(1, np.float32)},
        {"input": np.zeros((1, 3, 8, 8), np.float64)},
        {"input": np.zeros((1, 3, 9, 8), np.float32)},
        {"input": np.zeros((3, 8, 8), np.float32)},
    ],
    ids=["none", "renamed", "one too many", "dtype", "shape", "rank"],
)
def test_feeds_that_do_not_fit_are_refused_and_what_fits_runs_after_them(write_model, samples, feeds):
    session = open_model(write_model("float32"))
    good = {"input": samples[0][:1]}
    before = session.run(good)["logits"]
    assert_refused(ExitCode.MALFORMED, lambda: session.run(feeds))
    np.testing.assert_array_equal(session.run(good)["logits"], before)


def test_arrays_that_are_read_only_or_transposed_give_the_same_answer(write):
    session = open_model(write("net (float[2, 3] x) => (float[2, 3] y) { y = Neg (x) }"))
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    frozen = array.copy()
    frozen.flags.writeable = False
    for given in (array, frozen, np.asfortranarray(array)):
        np.testing.assert_array_equal(session.run({"x": given})["y"], -array)


def test_an_input_that_nobody_reads_is_an_input(write):
    session = open_model(write("net (float[2] x, float[2] unused) => (float[2] y) { y = Neg (x) }"))
    assert [spec.name for spec in session.inputs] == ["x", "unused"]
    feeds = {"x": np.ones(2, np.float32), "unused": np.ones(2, np.float32)}
    np.testing.assert_array_equal(session.run(feeds)["y"], [-1, -1])
    assert_refused(ExitCode.MALFORMED, lambda: session.run({"x": feeds["x"]}))


def test_outputs_that_are_one_tensor_keep_their_names_and_order(write):
    path = write("net (float[2] x) => (float[2] b, float[2] a) { b = Neg (x) a = Identity (b) }")
    assert [spec.name for spec in open_model(path).outputs] == ["b", "a"]


@pytest.mark.parametrize("content", [b"", b"no model", None], ids=["empty", "garbage", "truncated"])
def test_a_file_that_is_no_model_is_malformed_and_nothing_is_printed(write_model, content, capfd):
    path = write_model("float32")
    open_model(path)  # the whole file is one
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    capfd.readouterr()
    assert_refused(ExitCode.MALFORMED, lambda: open_model(path))
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_not_there_is_malformed(tmp_path):
    assert_refused(ExitCode.MALFORMED, lambda: open_model(tmp_path / "none.onnx"))


def test_an_operator_that_it_does_not_have_is_incompatible_and_named(tmp_path):
    node = onnx.helper.make_node("NoSuchOperator", ["x"], ["y"], domain="nobody")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "net", values[:1], values[1:])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("nobody", 1)]
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: open_model(path))
    assert "NoSuchOperator" in error.found


@pytest.mark.parametrize("kind", ["string", "bfloat16"])
def test_a_type_that_numpy_lacks_is_refused_before_it_runs(write, kind):
    path = write(f"net ({kind}[2] x) => ({kind}[2] y) {{ y = Identity (x) }}")
    assert_refused(ExitCode.INCOMPATIBLE, lambda: open_model(path))


def test_a_runtime_that_is_not_installed_is_missing_and_says_how_to_get_it(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    error = assert_refused(ExitCode.MISSING, lambda: find_runtime("openvino"))
    assert "pip install openvino" in error.fix
    assert "edge-toolchain[openvino]" in error.fix


def test_the_version_is_a_version_and_the_libraries_are_found():
    version = find_runtime("openvino").read_version()
    assert all(part.isdigit() for part in version.split("."))
    assert any(
        "libopenvino_intel_cpu_plugin" in name or "arm_cpu_plugin" in name for name in find_libraries("openvino")
    )


PAIR = """net (float[1, 16, 12, 12] x) => (float[1, 16, 12, 12] y) {
    h = Conv <pads = [1, 1, 1, 1]> (x, w1) y = Conv <pads = [1, 1, 1, 1]> (h, w2) }"""
WEIGHT_ONLY = "net (float[8, 64] x) => (float[8, 64] y) { w = DequantizeLinear (q, s, z) [product] y = MatMul (x, w) }"
INTEGERS = {
    "q": RNG.integers(-127, 128, (64, 64)).astype(np.int8),
    "s": np.float32(0.01),
    "z": np.int8(0),
}


@pytest.fixture
def pair(write):
    """Return a pair of convolutions, what to feed it, and what it returns in float32."""
    path = write(PAIR, w1=draw(16, 16, 3, 3), w2=draw(16, 16, 3, 3))
    feeds = {"x": draw(1, 16, 12, 12)}
    return path, feeds, open_session("onnxruntime", path, 1).run(feeds)["y"]


@pytest.fixture
def weight_only(write):
    """Return a product with int8 weights, what to feed it, and what it returns in float64."""
    feeds = {"x": draw(8, 64)}
    return write(WEIGHT_ONLY, **INTEGERS), feeds, feeds["x"].astype(np.float64) @ (INTEGERS["q"] * np.float64(0.01))


@pytest.mark.parametrize("kind", ["pair", "weight_only"])
def test_float32_is_computed_in_float32(kind, request):
    path, feeds, expected = request.getfixturevalue(kind)
    assert measure_db(expected, open_model(path).run(feeds)["y"]) > 110


@pytest.mark.parametrize("kind", ["pair", "weight_only"])
def test_its_defaults_are_coarser_where_the_cpu_has_bf16(kind, request):
    find_runtime("openvino")
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    path, feeds, expected = request.getfixturevalue(kind)
    compiled = openvino.Core().compile_model(openvino.Core().read_model(path), "CPU")
    assert measure_db(expected, next(iter(compiled(feeds).values()))) < 70


def test_int8_weights_alone_are_a_layer_in_float32(weight_only):
    path, feeds, _ = weight_only
    [layer] = read_placement(path, feeds).layers
    assert (layer.precision, layer.macs) == ("float32", 8 * 64 * 64)


def test_the_convolution_of_a_q_dq_model_ran_in_int8_and_the_rest_in_float(write_model, samples):
    placement = read_placement(write_model("int8"), {"input": samples[0][:1]})
    assert [(layer.op, layer.precision) for layer in placement.layers] == [
        ("Convolution", "int8"),
        ("FullyConnected", "float32"),
    ]
    assert placement.macs == 13824 + 32


GRAPHS = {
    "grouped": ("net (float[2, 8, 9, 9] x) => (float[2, 8, 7, 7] y) { [n] y = Conv <group = 4> (x, w) }", (8, 2, 3, 3)),
    "depthwise": ("net (float[2, 8, 9, 9] x) => (float[2, 8, 7, 7] y) { [n] y = Conv <group = 8> (x, w) }", (8, 1, 3, 3)),
    "1-d": ("net (float[2, 8, 9] x) => (float[2, 4, 7] y) { [n] y = Conv (x, w) }", (4, 8, 3)),
    "transposed": ("net (float[1, 8, 5, 5] x) => (float[1, 4, 6, 6] y) { [n] y = ConvTranspose (x, w) }", (8, 4, 2, 2)),
    "matrix": ("net (float[3, 5, 8] x) => (float[3, 5, 4] y) { [n] y = MatMul (x, w) }", (8, 4)),
    "gemm": ("net (float[3, 8] x) => (float[3, 4] y) { [n] y = Gemm <transB = 1> (x, w) }", (4, 8)),
    "two activations": ("net (float[3, 5, 8] x) => (float[3, 5, 5] y) { t = Transpose <perm = [0, 2, 1]> (x) [n] y = MatMul (x, t) }", None),
    "recurrent": ("net (float[4, 1, 6] x) => (float[4, 1, 1, 6] y) { [n] y = LSTM <hidden_size = 6> (x, w, w) }", (1, 24, 6)),
}  # fmt: skip


@pytest.mark.parametrize("kind", GRAPHS)
def test_macs_are_those_that_the_other_runtime_counts(write, kind):
    text, shape = GRAPHS[kind]
    path = write(text, **({} if shape is None else {"w": draw(*shape)}))
    [spec] = open_model(path).inputs
    feeds = {"x": draw(*spec.shape)}
    [layer] = read_placement(path, feeds).layers
    [expected] = find_runtime("onnxruntime").read_placement(path, 1, feeds).layers
    assert layer.macs == expected.macs > 0
    assert layer.precision == "float32"


ATTENTION = """net (float[1, 2, 64, 16] x) => (float[1, 2, 64, 16] y) {
    t = Transpose <perm = [0, 1, 3, 2]> (x) [scores] a = MatMul (x, t) s = Softmax <axis = -1> (a) b = MatMul (s, x)
    y = Relu (b) }"""


def test_every_product_of_attention_is_told_with_its_precision(write):
    placement = read_placement(write(ATTENTION), {"x": draw(1, 2, 64, 16)})
    assert [(layer.precision, layer.macs) for layer in placement.layers] == [("float32", 2 * 64 * 64 * 16)] * 2
    assert placement.layers[0].name == "scores"


def test_products_inside_a_layer_of_other_work_are_told_as_unknown(write, monkeypatch):
    """A version that takes no SNIPPETS_MODE would hide them: then no share of int8 is proven."""
    find_runtime("openvino")
    import openvino

    compile_model = openvino.Core.compile_model

    def enable(core, model, device, properties):
        return compile_model(core, model, device, {**properties, "SNIPPETS_MODE": "ENABLE"})

    monkeypatch.setattr(openvino.Core, "compile_model", enable)
    placement = read_placement(write(ATTENTION), {"x": draw(1, 2, 64, 16)})
    assert len(placement.layers) == 2
    if not placement.uncounted:
        pytest.skip("on this CPU nothing is hidden")
    assert {(layer.precision, layer.macs) for layer in placement.layers} == {("unknown", None)}


WATCHED = """
import os, sys
LOG = os.open(os.environ["EVENTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        os.write(LOG, (event + "\\n").encode())
        raise RuntimeError("no word leaves this test")

sys.addaudithook(watch)
"""
OURS = """
from pathlib import Path
from toolchain.agent.measure.session import find_runtime, open_session
import numpy as np
path = Path(os.environ["MODEL"])
session = open_session("openvino", path, 1)
feeds = {"input": np.zeros((1, 3, 8, 8), np.float32)}
session.run(feeds)
find_runtime("openvino").read_placement(path, 1, feeds)
"""
PLAIN = """
import openvino
import multiprocessing
for child in multiprocessing.active_children():
    child.join()
"""


@pytest.mark.parametrize(("code", "is_told"), [(OURS, False), (PLAIN, True)], ids=["ours", "a plain import"])
def test_nobody_is_told_and_nothing_is_written(write_model, tmp_path, code, is_told):
    """The control is OpenVINO's own import, whose word is stopped before it leaves."""
    home, events = tmp_path / "home", tmp_path / "events"
    home.mkdir()
    opted_out = {"CI", "TF_BUILD", "JENKINS_URL"}  # where these are set it tells nothing by itself
    environment = {name: value for name, value in os.environ.items() if name not in opted_out}
    environment |= {"HOME": str(home), "EVENTS": str(events), "MODEL": str(write_model("float32"))}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-B", "-c", WATCHED + code], env=environment, check=True, capture_output=True)
    told = [path.name for path in home.rglob("*") if path.is_file()] + events.read_text().split()
    assert bool(told) is is_told, json.dumps(told)
