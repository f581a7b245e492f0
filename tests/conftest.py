"""Small models and bundles that the tests of agent, bundle and deploy share. No torch: seconds matter."""

import dataclasses
import gc

import hypothesis
import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import numpy_helper

from tests.members_of_a_test import members_of_a_test  # noqa: F401 - a fixture of every test
from tests.native_board import NativeBoard
from toolchain.agent.manifest import Compatible, Gates, MetricSpec, TensorSpec
from toolchain.bundle import BundleInputs, GoldenBatch, Lowered, write_bundle

# The same examples on every run, and no limit on the time that one takes: no test needs luck or a fast machine.
hypothesis.settings.register_profile("toolchain", deadline=None, derandomize=True)
hypothesis.settings.load_profile("toolchain")


def pytest_collection_finish():
    """Leave what was imported out of every later garbage collection: it stays, and is a million objects to walk."""
    gc.collect()
    gc.freeze()


SAMPLES = 70  # more than one batch of 64

_HEAD = '<ir_version: 9, opset_import: ["" : 17]> net (float[{batch},3,8,8] input) => (float[{batch},4] {output})'

_FLOAT = """{{
    hidden = Conv <pads = [1, 1, 1, 1]> (input, w1)
    active = Relu (hidden)
    pooled = GlobalAveragePool (active)
    flat = Flatten (pooled)
    {output} = Gemm <transB = 1> (flat, w2)
}}"""

_INT8 = """{{
    input_q = QuantizeLinear (input, input_scale, input_zero)
    input_dq = DequantizeLinear (input_q, input_scale, input_zero)
    w1_dq = DequantizeLinear (w1_q, w1_scale, w1_zero)
    hidden = Conv <pads = [1, 1, 1, 1]> (input_dq, w1_dq)
    active = Relu (hidden)
    active_q = QuantizeLinear (active, active_scale, active_zero)
    active_dq = DequantizeLinear (active_q, active_scale, active_zero)
    pooled = GlobalAveragePool (active_dq)
    flat = Flatten (pooled)
    {output} = Gemm <transB = 1> (flat, w2)
}}"""

_NAN = """{{
    hidden = Conv <pads = [1, 1, 1, 1]> (input, w1)
    active = Relu (hidden)
    pooled = GlobalAveragePool (active)
    flat = Flatten (pooled)
    scores = Gemm <transB = 1> (flat, w2)
    zero = Sub (scores, scores)
    {output} = Div (zero, zero)
}}"""


def _draw_weights():
    rng = np.random.default_rng(7)
    return {
        "w1": rng.normal(scale=0.2, size=(8, 3, 3, 3)).astype(np.float32),
        "w2": rng.normal(size=(4, 8)).astype(np.float32),
    }


def _quantize_weights(w1):
    scale = np.float32(np.abs(w1).max() / 127)
    return {
        "w1_q": np.round(w1 / scale).astype(np.int8),
        "w1_scale": scale,
        "w1_zero": np.int8(0),
        "input_scale": np.float32(8 / 255),
        "input_zero": np.uint8(128),
        "active_scale": np.float32(6 / 255),
        "active_zero": np.uint8(0),
    }


def build_model(kind, *, batch="N", output="logits"):
    """Return the bytes of a small ONNX classifier: kind is float32, int8, nan, or negated (always wrong)."""
    body = {"int8": _INT8, "nan": _NAN}.get(kind, _FLOAT)
    model = onnx.parser.parse_model((_HEAD + body).format(batch=batch, output=output))
    weights = _draw_weights()
    arrays = {**weights, **_quantize_weights(weights["w1"])} if kind == "int8" else weights
    if kind == "negated":
        arrays["w2"] = -arrays["w2"]
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items() if name in used
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture(scope="session")
def samples():
    """Return the evaluation set of the small models: inputs, the float model's outputs, and labels it gets right."""
    inputs = np.random.default_rng(11).normal(size=(SAMPLES, 3, 8, 8)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(build_model("float32"), options, providers=["CPUExecutionProvider"])
    outputs = session.run(["logits"], {"input": inputs})[0]
    return inputs, outputs, outputs.argmax(axis=1)


@pytest.fixture
def write_model(tmp_path):
    """Return a function that writes a small model and returns its path."""

    def write(kind, **options):
        path = tmp_path / f"{kind}{'-'.join(map(str, options.values()))}.onnx"
        path.write_bytes(build_model(kind, **options))
        return path

    return write


@pytest.fixture
def bundle_inputs(samples, write_model):
    """Return a function that returns the inputs of a good bundle but for changes; each runtime opens all candidates in all ways."""
    inputs, outputs, labels = samples

    def make(*, candidates=None, runtimes=("onnxruntime",), ways=((1, False),), **changes):
        paths = candidates or {"int8": write_model("int8"), "float32": write_model("float32")}
        good = BundleInputs(
            model="small",
            target="cpu",
            emulated=True,  # no verdict of a test may hang on the time that something took
            signature="optional",
            compatible=Compatible(
                None, accelerator=None, runtime_versions=dict.fromkeys(runtimes, ">=1.0"), cpu_features=()
            ),
            candidates=[Lowered(precision=p, runtime=r, path=q, ways=ways) for p, q in paths.items() for r in runtimes],
            reference=write_model("float32"),
            original=write_model("float32"),
            is_original_measured=False,
            inputs=[TensorSpec(name="input", dtype="float32", shape=(None, 3, 8, 8))],
            outputs=[TensorSpec(name="logits", dtype="float32", shape=(None, 4))],
            golden=[
                GoldenBatch(inputs={"input": inputs[:40]}, outputs={"logits": outputs[:40]}),
                GoldenBatch(inputs={"input": inputs[40:]}, outputs={"logits": outputs[40:]}),
            ],
            golden_samples=SAMPLES,
            golden_stacked=False,
            targets={"labels": labels.astype(np.int64)},
            metric=MetricSpec(name="top1", reference=1.0),
            gates=Gates(metric_drop_max=0.1, sqnr_db_min={}, int8_share_min=0.9, latency_p90_ms_max=None),
            provenance={"seed": 7},
        )
        return dataclasses.replace(good, **changes)

    return make


@pytest.fixture
def make_bundle(bundle_inputs, tmp_path):
    """Return a function that writes a bundle, good but for the changed fields, and returns its folder."""

    def make(**changes):
        folder = tmp_path / "source"
        write_bundle(bundle_inputs(**changes), folder)
        return folder

    return make


@pytest.fixture
def native(tmp_path):
    """Return this machine as a board that ssh leads to."""
    folder = tmp_path / "native"
    folder.mkdir()
    board = NativeBoard(folder)
    board.start()
    yield board
    board.stop()


@pytest.fixture
def farm(native, tmp_path):
    """Return a labgrid farm, whose place `bench` leads to the native board."""
    from tests.labgrid_farm import Farm

    folder = tmp_path / "farm"
    folder.mkdir()
    made = Farm(folder, native)
    try:
        made.start()
        yield made
    finally:
        made.stop()
