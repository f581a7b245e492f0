import dataclasses
import gc
from pathlib import Path

import numpy as np
import pytest

from tests.agent.measure.tensorrt.conftest import SHAPES
from tests.agent.measure.tensorrt.fake_cuda import cudaError_t
from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.manifest import TensorSpec
from toolchain.agent.measure.session import EngineFacts
from toolchain.agent.measure.tensorrt.cuda import FIXES, Cuda
from toolchain.agent.measure.tensorrt.engine import BuildOptions, build_engine
from toolchain.agent.measure.tensorrt.execution import TensorRtSession

FACTS = EngineFacts(
    sha256="0" * 64,
    size_bytes=1,
    build_s=1.0,
    reused=False,
    runtime_version="10.3.0",
    gpu="Orin",
    architecture="sm_87",
    power_mode=None,
    gpu_fallback=(),
)
COPIES_AND_SYNC = ["cudaMemcpyAsync", "cudaMemcpyAsync", "cudaStreamSynchronize"]
CAPTURE = [
    *("cudaStreamBeginCapture", "cudaMemcpyAsync", "cudaMemcpyAsync", "cudaStreamEndCapture"),
    *("cudaGraphInstantiate", "cudaGraphDestroy", "cudaGraphLaunch", "cudaStreamSynchronize"),
]


@pytest.fixture
def engine(trt, named_model):
    return build_engine(
        trt, named_model(), "model.onnx", BuildOptions(shapes=SHAPES, spec=BuildSpec(), free_bytes=1 << 30)
    ).engine


@pytest.fixture
def open_engine(trt, cudart, engine):
    return lambda: TensorRtSession(trt, Cuda(cudart), engine, Path("model.engine"), FACTS)


def assert_refused(code, call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code == code
    return caught.value


def assert_nothing_is_left(cudart, trt):
    gc.collect()
    assert cudart.list_leaks() == {}
    assert cudart.capturing is None
    assert list(trt.alive) == []


def test_a_session_tells_its_inputs_and_outputs(open_engine):
    session = open_engine()
    assert session.inputs == (TensorSpec(name="input", dtype="float32", shape=(None, 3, 8, 8)),)
    assert session.outputs == (TensorSpec(name="logits", dtype="float32", shape=(None, 4)),)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_a_session_returns_what_the_model_computes_with_and_without_a_graph(open_engine, samples, batch):
    inputs, outputs, _ = samples
    session = open_engine()
    for start in (0, 3, 5):  # directly, captured, played back: each with other data
        found = session.run({"input": inputs[start : start + batch]})["logits"]
        expected = outputs[start : start + batch]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)  # another batch sums in another order


def test_an_output_is_the_callers_own(open_engine, samples):
    session = open_engine()
    first = session.run({"input": samples[0][:1]})["logits"]
    kept = first.copy()
    session.run({"input": samples[0][1:2]})
    np.testing.assert_array_equal(first, kept)


def test_an_input_that_is_not_contiguous_is_copied_right(open_engine, samples):
    session = open_engine()
    turned = np.asfortranarray(samples[0][:4])
    plain = session.run({"input": samples[0][:4]})["logits"]
    np.testing.assert_array_equal(session.run({"input": turned})["logits"], plain)


def test_the_calls_of_a_run_are_in_order_and_become_one_graph_when_a_shape_repeats(open_engine, cudart, samples):
    session = open_engine()
    feeds = {"input": samples[0][:2]}
    found = []
    for _ in range(3):
        cudart.calls.clear()
        session.run(feeds)
        found.append(list(cudart.calls))
    assert found == [COPIES_AND_SYNC, CAPTURE, ["cudaGraphLaunch", "cudaStreamSynchronize"]]
    assert session.engine == dataclasses.replace(FACTS, cuda_graph="captured")


def test_another_shape_gets_another_graph_and_the_old_one_is_given_back(open_engine, cudart, samples):
    session = open_engine()
    for batch in (2, 2, 3):
        session.run({"input": samples[0][:batch]})
    assert "executable" not in cudart.list_leaks()
    session.run({"input": samples[0][:3]})
    assert cudart.list_leaks()["executable"] == 1


def test_buffers_are_as_large_as_the_largest_shape_of_the_profile(open_engine, cudart):
    open_engine()
    sizes = sorted(len(memory) for memory in cudart.live["device"].values())
    assert sizes == [64 * 4 * 4, 64 * 3 * 8 * 8 * 4]


def test_close_gives_everything_back(open_engine, cudart, trt, samples):
    session = open_engine()
    for _ in range(3):
        session.run({"input": samples[0][:2]})
    session.close()
    assert_nothing_is_left(cudart, trt)


def use(open_engine, samples):
    session = open_engine()
    try:
        for batch in (2, 2, 2, 3, 3):
            session.run({"input": samples[0][:batch]})
    finally:
        session.close()
    return session


def describe_use(open_engine, samples):
    """Return what failed, and the call; without a call where the session told it and went on."""
    try:
        return use(open_engine, samples).engine.cuda_graph, None
    except ToolchainError as error:
        return error.found, error.where


def count_calls(open_engine, cudart, samples):
    cudart.calls.clear()
    use(open_engine, samples)
    total = len(cudart.calls)
    cudart.calls.clear()
    return total


@pytest.mark.parametrize("code", ["cudaErrorMemoryAllocation", "cudaErrorIllegalAddress"])
def test_whichever_cuda_call_fails_nothing_leaks_and_the_failure_is_told(open_engine, cudart, trt, samples, code):
    total = count_calls(open_engine, cudart, samples)
    assert total > 30
    while_capturing = set()
    for index in range(total):
        cudart.calls.clear()
        cudart.failures = {index: cudaError_t[code]}
        found, where = describe_use(open_engine, samples)
        assert code in found
        if where is None:  # a graph that could not be made: runs go on without, and say so
            while_capturing.add(cudart.calls[index])
        else:
            assert where == cudart.calls[index]
        assert_nothing_is_left(cudart, trt)
    assert while_capturing == set(CAPTURE) - {"cudaGraphLaunch", "cudaStreamSynchronize"}


@pytest.mark.parametrize("code", [code for code in cudaError_t if code], ids=lambda code: code.name)
def test_every_error_code_has_its_exit_code_and_a_fix_and_those_of_the_board_their_own(open_engine, cudart, code):
    cudart.failures = {0: code}
    error = assert_refused(ExitCode.INCOMPATIBLE if code.name in FIXES else ExitCode.UNEXPECTED, open_engine)
    assert code.name in error.found
    assert error.fix
    assert error.fix == FIXES.get(code.name, error.fix)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("create_execution_context", ExitCode.INCOMPATIBLE),
        ("set_input_shape", ExitCode.UNEXPECTED),
        ("set_tensor_address", ExitCode.UNEXPECTED),
    ],
)
def test_whichever_tensorrt_call_fails_nothing_leaks(open_engine, cudart, trt, call, code):
    trt.failing.add(call)
    assert_refused(code, open_engine)
    assert_nothing_is_left(cudart, trt)


def test_an_engine_that_does_not_run_is_an_error_and_its_graph_is_not_kept(open_engine, cudart, trt, samples):
    session = open_engine()
    feeds = {"input": samples[0][:2]}
    session.run(feeds)
    trt.failing.add("execute_async_v3")
    for _ in range(2):  # at the capture, and without
        assert_refused(ExitCode.UNEXPECTED, lambda: session.run(feeds))
    session.close()
    assert_nothing_is_left(cudart, trt)


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"other": np.zeros((1, 3, 8, 8), np.float32)},
        {"input": np.zeros((1, 3, 8, 8), np.float64)},
        {"input": np.zeros((65, 3, 8, 8), np.float32)},
        {"input": np.zeros((0, 3, 8, 8), np.float32)},
        {"input": np.zeros((1, 3, 9, 8), np.float32)},
        {"input": np.zeros((3, 8, 8), np.float32)},
    ],
    ids=["none", "renamed", "dtype", "above the profile", "below the profile", "shape", "axes"],
)
def test_data_outside_of_the_profile_is_refused_before_anything_is_copied(open_engine, cudart, feeds):
    session = open_engine()
    cudart.calls.clear()
    error = assert_refused(ExitCode.MALFORMED, lambda: session.run(feeds))
    assert error.expected
    assert cudart.calls == []


def test_after_data_that_was_refused_the_session_still_runs(open_engine, samples):
    session = open_engine()
    assert_refused(ExitCode.MALFORMED, lambda: session.run({"input": samples[0][:65]}))
    np.testing.assert_allclose(session.run({"input": samples[0][:1]})["logits"], samples[1][:1], rtol=1e-5, atol=1e-6)


def test_a_tensor_in_host_memory_is_refused(open_engine, cudart, trt):
    trt.on_host.add("input")
    assert "HOST" in assert_refused(ExitCode.INCOMPATIBLE, open_engine).found
    assert_nothing_is_left(cudart, trt)


@pytest.mark.parametrize("change", [{"__version__": "10.7.0"}, {"architecture": "sm_110"}], ids=["version", "GPU"])
def test_an_engine_that_tensorrt_refuses_is_incompatible(open_engine, cudart, trt, change):
    for name, value in change.items():
        setattr(trt, name, value)
    error = assert_refused(ExitCode.INCOMPATIBLE, open_engine)
    assert error.found == "Version tag does not match"
    assert_nothing_is_left(cudart, trt)
