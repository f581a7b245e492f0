"""Takes the time of each kernel of an engine from TensorRT's own profiler. Not yet run on hardware.

A profile is a hint: it waits for each kernel, so that their sum is more than a run takes. What a model is worth is measured
as a whole (measure/latency.py).
"""

from __future__ import annotations

import math
from typing import Any, Collection, Dict, List, Mapping, Sequence

from ...errors import ExitCode, ToolchainError


def create_profiler(trt: Any) -> Any:
    """Return an IProfiler with `kernels_ms`: the time of each kernel since it was emptied, by TensorRT's name of it.

    An exception in a callback would be lost in TensorRT: none is raised.
    """

    class Profiler(trt.IProfiler):  # type: ignore[misc]  # trt is Any: the module may be missing on the host
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.kernels_ms: Dict[str, float] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.kernels_ms[str(layer_name)] = self.kernels_ms.get(str(layer_name), 0.0) + float(ms)

    return Profiler()


def check_times(runs_ms: Sequence[Mapping[str, float]], where: str) -> None:
    """Refuse (exit 20) a profile that says nothing, of some kernels in some runs only, or what is no time."""
    names = set(runs_ms[0]) if runs_ms else set()
    if not names:
        raise _refuse(where, "a time of each kernel", "none")
    for run_ms in runs_ms:
        if set(run_ms) != names:
            raise _refuse(where, "the same kernels in every run", ", ".join(sorted(names ^ set(run_ms))))
        for name, time_ms in run_ms.items():
            if not math.isfinite(time_ms) or time_ms < 0:
                raise _refuse(f"{where}: {name}", "0 ms or more", f"{time_ms} ms")


def assign_times(
    runs_ms: Sequence[Mapping[str, float]], kernels: Mapping[str, Sequence[str]], layers: Collection[str]
) -> Dict[str, List[float]]:
    """Return the time in microseconds of each of these layers in each run.

    kernels: the nodes of the model that each kernel does the work of (inspector.py). A layer has the times of all kernels
    that do its work; one that shares a kernel with another layer has none, and neither has one that was too short for the
    clock in any run. Kernels that the engine does not name (conversions between formats) are nobody's.
    """
    own = {kernel: set(nodes).intersection(layers) for kernel, nodes in kernels.items()}
    shared = {name for names in own.values() if len(names) > 1 for name in names}
    times: Dict[str, List[float]] = {}
    for kernel, names in own.items():
        for name in names - shared:
            if kernel in runs_ms[0]:
                before = times.get(name, [0.0] * len(runs_ms))
                times[name] = [time_us + run_ms[kernel] * 1e3 for time_us, run_ms in zip(before, runs_ms)]  # noqa: B905 - Python 3.8 has no strict
    return {name: values for name, values in times.items() if min(values) > 0}


def _refuse(where: str, expected: str, found: str) -> ToolchainError:
    return ToolchainError(
        ExitCode.INVALID,
        "TensorRT's profile cannot be used",
        where=where,
        expected=expected,
        found=found,
        fix="measure again; where it comes back, set quantize.choose_by_measurement = false, and report it",
    )
