"""The times of a payload's layers: bounded, of the payload that was asked for, and no reason to fail."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.layer_times import KERNELS_MAX, Kernel, Peaks, time_layers
from toolchain.agent.measure.placement import Layer, Placement

PEAKS = Peaks(float_gmacs=10.0, int8_gmacs=40.0, memory_gb_s=5.0, copy_bytes=1 << 20)


def run(time_kernels, asked=None):
    def measure_peaks(_threads, copy_bytes):
        if asked is not None:
            asked.append(copy_bytes)
        return PEAKS

    runtime = SimpleNamespace(time_kernels=time_kernels, measure_peaks=measure_peaks)
    placement = Placement(layers=(Layer("a", "Conv", "int8", 10, 300), Layer("b", "Conv", "int8", 10, None)))
    return time_layers(runtime, Path("model.onnx"), 1, {}, sha256="ab", placement=placement)


def test_kernels_keep_their_order_and_the_run_is_a_median():
    kernels = [Kernel("b", "Conv", 2.0), Kernel("a", "Add", 9.0)]
    times = run(lambda *_: (kernels, [12.0, 30.0, 13.0]))
    assert (times.sha256, times.runs, times.run_us, times.problem) == ("ab", 3, 13.0, None)
    assert list(times.kernels) == kernels
    assert times.peaks == PEAKS


def test_of_too_many_kernels_the_quickest_are_left_out_and_their_time_is_told():
    kernels = [Kernel(str(index), "Add", 1.0 + index) for index in range(KERNELS_MAX + 2)]
    times = run(lambda *_: (kernels, [1e6]))
    assert [kernel.name for kernel in times.kernels] == [str(index) for index in range(2, KERNELS_MAX + 2)]
    assert (times.left_out, times.left_out_us) == (2, 3.0)


def test_a_copy_is_as_large_as_what_a_run_touches():
    asked = []
    run(lambda *_: ([Kernel("a", "Conv", 1.0)], [1.0]), asked)
    assert asked == [300]


def test_a_runtime_that_breaks_or_tells_nothing_gives_a_reason_and_no_error():
    def breaks(*_):
        raise ToolchainError(ExitCode.MALFORMED, "the profile is gone")

    assert "the profile is gone" in run(breaks).problem
    assert run(lambda *_: ([], [])).problem == "the runtime's profile has no kernel"
    silent = time_layers(SimpleNamespace(), Path("m"), 1, {}, sha256="ab", placement=Placement(layers=()))
    assert "does not read the times" in silent.problem
    assert silent.kernels == ()
