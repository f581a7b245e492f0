import sys

import numpy as np
import onnx.parser
import onnxruntime
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import TensorSpec
from toolchain.agent.measure.session import find_runtime, open_session


def assert_refused(code, call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code == code
    return caught.value


def open_model(path):
    return open_session("onnxruntime", path, threads=1)


def test_a_session_tells_its_inputs_and_outputs_and_runs(write_model, samples):
    session = open_model(write_model("float32"))
    assert session.inputs == (TensorSpec(name="input", dtype="float32", shape=(None, 3, 8, 8)),)
    assert session.outputs == (TensorSpec(name="logits", dtype="float32", shape=(None, 4)),)
    inputs, outputs, _ = samples
    np.testing.assert_array_equal(session.run({"input": inputs})["logits"], outputs)


def test_a_fixed_batch_axis_has_its_size(write_model):
    assert open_model(write_model("float32", batch=1)).inputs[0].shape == (1, 3, 8, 8)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_the_one_asked_for(write_model, threads):
    session = open_session("onnxruntime", write_model("float32"), threads)
    assert session._session.get_session_options().intra_op_num_threads == threads


def test_only_the_cpu_provider_is_used(write_model):
    assert open_model(write_model("float32"))._session.get_providers() == ["CPUExecutionProvider"]


def test_another_provider_than_asked_for_is_refused(write_model, monkeypatch):
    real = onnxruntime.InferenceSession

    class Replaced(real):
        def get_providers(self):
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Replaced)
    path = write_model("float32")
    error = assert_refused(ExitCode.INCOMPATIBLE, lambda: open_model(path))
    assert "CUDA" in error.found


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"\x00" * 99])
def test_a_damaged_payload_is_refused(write_model, damage):
    path = write_model("float32")
    path.write_bytes(damage(path.read_bytes()))
    assert_refused(ExitCode.MALFORMED, lambda: open_model(path))


def test_a_missing_payload_is_refused(tmp_path):
    assert_refused(ExitCode.MALFORMED, lambda: open_model(tmp_path / "none.onnx"))


def test_a_pickle_in_place_of_a_payload_is_refused(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07torch.x\x94.")
    assert_refused(ExitCode.MALFORMED, lambda: open_model(path))


def test_an_operator_that_the_runtime_lacks_is_an_incompatibility(tmp_path):
    # Valid ONNX, but ONNX Runtime's CPU convolves float alone.
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 17]> net (double[1,1,4] x, double[1,1,3] w) => (double[1,1,2] y) { y = Conv (x, w) }'
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert_refused(ExitCode.INCOMPATIBLE, lambda: open_model(path))


def test_an_output_that_is_no_tensor_is_refused(tmp_path):
    model = onnx.parser.parse_model(
        '<ir_version: 9, opset_import: ["" : 17]> net (float[2] x) => (seq(float[2]) y) { y = SequenceConstruct (x) }'
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert_refused(ExitCode.INCOMPATIBLE, lambda: open_model(path))


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"other": np.zeros((1, 3, 8, 8), np.float32)},
        {"input": np.zeros((1, 3, 8, 8), np.float64)},
        {"input": np.zeros((1, 3, 9, 8), np.float32)},
    ],
    ids=["none", "renamed", "dtype", "shape"],
)
def test_feeds_that_do_not_fit_are_refused(write_model, feeds):
    session = open_model(write_model("float32"))
    assert_refused(ExitCode.MALFORMED, lambda: session.run(feeds))


@pytest.mark.parametrize("name", ["tensorflow", "", "../errors", "os"])
def test_an_unknown_runtime_is_a_usage_error_that_lists_the_known(name):
    error = assert_refused(ExitCode.USAGE, lambda: find_runtime(name))
    assert "onnxruntime" in error.expected


def test_a_runtime_that_is_not_installed_is_missing_and_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    error = assert_refused(ExitCode.MISSING, lambda: find_runtime("onnxruntime"))
    assert "pip install onnxruntime" in error.fix


def test_a_runtime_that_no_board_has_is_for_lowering_alone():
    error = assert_refused(ExitCode.USAGE, lambda: find_runtime("tensorrt_rtx"))
    assert "toolchain lower" in error.fix


def test_a_payload_that_runs_as_it_is_has_no_engine_and_can_be_closed(write_model):
    session = open_model(write_model("float32"))
    assert session.engine is None
    session.close()


def test_the_cpu_has_no_details():
    assert find_runtime("onnxruntime").read_details() == {}
