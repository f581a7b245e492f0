"""The times of a payload's layers: bounded, of the payload that was asked for, and no reason to fail."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from toolchain.agent.build_spec import BuildSpec
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.layer_times import KERNELS_MAX, Kernel, Peaks, time_layers
from toolchain.agent.measure.placement import Layer, Placement
from toolchain.agent.measure.session import BuildRequest

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


def test_of_what_a_kernel_does_only_layers_are_kept_and_one_that_two_kernels_do_is_neithers():
    kernels = [
        Kernel("a + relu", "Conv", 2.0, layers=("a", "relu", "a")),
        Kernel("b.0", "Conv", 1.0, layers=("b",)),
        Kernel("b.1", "Conv", 1.0, layers=("b",)),
    ]
    assert [kernel.layers for kernel in run(lambda *_: (kernels, [9.0])).kernels] == [("a",), (), ()]


LIES = {
    "less than no time": ([Kernel("a", "Conv", -1.0)], [9.0]),
    "no number": ([Kernel("a", "Conv", 1.0), Kernel("b", "Conv", math.nan)], [9.0]),
    "a kernel without end": ([Kernel("a", "Conv", math.inf)], [9.0]),
    "a run of no number": ([Kernel("a", "Conv", 1.0)], [9.0, math.nan]),
    "a run of less than no time": ([Kernel("a", "Conv", 1.0)], [-9.0]),
}


@pytest.mark.parametrize("name", LIES)
def test_a_profiler_that_tells_what_is_no_time_gives_a_reason_and_no_times(name):
    times = run(lambda *_: LIES[name])
    assert times.kernels == ()
    assert "has a time of" in times.problem


def test_where_no_peak_can_be_measured_the_times_stay_and_the_reason_is_told():
    def fail(*_):
        raise ToolchainError(ExitCode.INVALID, "the product ran in float32")

    placement = Placement(layers=(Layer("a", "Conv", "int8", 10),))
    for measure_peaks, reason in (
        (fail, "the product ran in float32"),
        (lambda *_: replace(PEAKS, int8_gmacs=math.nan), "are no speeds"),
        (None, "measures no peaks"),
    ):
        runtime = SimpleNamespace(time_kernels=lambda *_: ([Kernel("a", "Conv", 1.0)], [2.0]))
        if measure_peaks is not None:
            runtime.measure_peaks = measure_peaks
        times = time_layers(runtime, Path("m"), 1, {}, sha256="ab", placement=placement)
        assert (len(times.kernels), times.peaks, times.problem) == (1, None, None)
        assert reason in times.peaks_problem


def test_the_engine_that_was_proven_is_the_one_that_is_timed():
    asked = []
    runtime = SimpleNamespace(time_kernels=lambda *given: asked.append(given[3]) or ([], []))
    build = BuildRequest(bundle_dir=Path(), bundle_id="b", shapes={}, spec=BuildSpec())
    time_layers(runtime, Path("m"), 1, {}, sha256="ab", placement=Placement(layers=()), build=build)
    assert asked == [build]


def test_a_runtime_that_breaks_or_tells_nothing_gives_a_reason_and_no_error():
    def breaks(*_):
        raise ToolchainError(ExitCode.MALFORMED, "the profile is gone")

    assert "the profile is gone" in run(breaks).problem
    assert run(lambda *_: ([], [])).problem == "the runtime's profile has no kernel"
    silent = time_layers(SimpleNamespace(), Path("m"), 1, {}, sha256="ab", placement=Placement(layers=()))
    assert "does not read the times" in silent.problem
    assert silent.kernels == ()
