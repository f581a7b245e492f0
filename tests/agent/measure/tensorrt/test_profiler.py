import math

import onnx
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.runtimes.tensorrt import time_layers
from toolchain.agent.measure.tensorrt.profiler import assign_times, check_times
from toolchain.graph.session import request_trial_build

CONV, GEMM = "node_0_Conv", "node_4_Gemm"


@pytest.fixture
def profile(board, named_model, tmp_path, samples):
    """Return what times the layers of the small model, given the times of the fake's kernels."""

    def run(kind="float32", runs=4, **kernel_ms):
        path = tmp_path / "model.onnx"
        path.write_bytes(named_model(kind, batch=1))
        layers = [node.name for node in onnx.load(path).graph.node if node.op_type in {"Conv", "Gemm"}]
        board.trt.kernel_ms = {(name, "float"): kernel_ms[name] for name in kernel_ms}
        feeds = {"input": samples[0][:1]}
        build = request_trial_build(path, feeds, tmp_path / "engines")
        return time_layers(path, feeds, build=build, layers=layers, runs=runs)

    return run


def assert_refused(call, found):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.code == ExitCode.INVALID
    assert found in f"{caught.value.where} {caught.value.found}"


def test_each_layer_has_its_time_in_every_run_and_warm_up_is_left_out(profile, board):
    times = profile(**{CONV: lambda run: 100.0 if run <= 5 else float(run)}, runs=3)
    assert times == {CONV: [6000.0, 7000.0, 8000.0], GEMM: [1000.0] * 3}
    assert board.cudart.list_leaks() == {}
    assert "cudaGraphLaunch" not in board.cudart.calls


def test_the_kernels_of_int8_are_known_by_the_same_layers(profile):
    times = profile("int8")
    assert sorted(values[0] for values in times.values()) == [500.0, 1000.0]


@pytest.mark.parametrize("time_ms", [math.nan, math.inf, -0.1])
def test_what_is_no_time_makes_the_profile_worthless(profile, time_ms):
    assert_refused(lambda: profile(**{CONV: lambda run: time_ms if run == 7 else 1.0}), CONV)


def test_a_layer_that_takes_no_time_in_a_run_has_none(profile):
    assert set(profile(**{CONV: lambda run: 0.0 if run == 7 else 1.0})) == {GEMM}


def test_where_all_is_free_no_layer_has_a_time(profile):
    assert profile(**{CONV: 0.0, GEMM: 0.0}) == {}


def test_a_profile_that_says_nothing_is_worthless():
    assert_refused(lambda: check_times([], "model.onnx"), "none")
    assert_refused(lambda: check_times([{}], "model.onnx"), "none")


def test_kernels_that_come_and_go_are_worthless():
    assert_refused(lambda: check_times([{"a": 1.0}, {"a": 1.0, "b": 1.0}], "model.onnx"), "b")


def test_a_kernel_that_the_engine_does_not_name_is_nobodys():
    assert assign_times([{"strange": 1.0, "k": 2.0}], {"k": ("conv",), "gone": ("gemm",)}, ["conv", "gemm"]) == {
        "conv": [2000.0]
    }


def test_layers_that_share_a_kernel_have_no_time_of_their_own():
    kernels = {"myelin": ("query", "key", "soft"), "extra": ("key",), "k": ("up", "gelu")}
    assert assign_times([{"myelin": 9.0, "extra": 1.0, "k": 2.0}], kernels, ["query", "key", "up"]) == {"up": [2000.0]}


def test_a_layer_of_two_kernels_takes_as_long_as_both():
    kernels = {"weights": ("conv",), "conv": ("conv", "relu")}
    assert assign_times([{"weights": 0.5, "conv": 1.0}], kernels, ["conv"]) == {"conv": [1500.0]}


def test_an_engine_of_another_tensorrt_is_not_timed_but_built_anew(profile, board):
    profile()
    board.trt.__version__ = "10.16.1"
    profile()
    assert (board.trt.builds, len(set(board.trt.deserialized))) == (2, 2)


def test_an_engine_that_this_tensorrt_does_not_open_has_no_times(profile, board, monkeypatch):
    monkeypatch.setattr(board.trt, "deserialize", lambda logger, data: logger.log(1, "Version tag does not match"))
    with pytest.raises(ToolchainError) as caught:
        profile()
    assert caught.value.code == ExitCode.INCOMPATIBLE
    assert "Version tag" in caught.value.found
    assert board.cudart.list_leaks() == {}
