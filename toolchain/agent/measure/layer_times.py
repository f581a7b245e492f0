"""What each kernel of a payload takes, and what the board could do at the most: it explains a verdict, and gates nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Mapping, Optional, Protocol, Sequence, Tuple, cast

from ..errors import ToolchainError, first_line
from .placement import Placement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .session import Runtime

# A record stays under 64 kB by them; MobileViT-S has some 400, of which the last quarter takes 0.3 ms in all.
KERNELS_MAX = 400


@dataclass(frozen=True)
class Kernel:
    """A kernel that the runtime ran, by its own name of it; median_us of all its runs, a loop's steps added up."""

    name: str
    op: str
    median_us: float


@dataclass(frozen=True)
class Peaks:
    """The best that this board was seen to do in this run, on the payload's threads (onnxruntime_peaks.py).

    memory_gb_s is of a copy as large as what one run of the payload reads and writes, copy_bytes: what fits into a cache
    comes from there, in the payload as here.
    """

    float_gmacs: float
    int8_gmacs: float
    memory_gb_s: float
    copy_bytes: int


@dataclass(frozen=True)
class LayerTimes:
    """The kernels of one payload under the runtime's own profiler, which slows it: run_us is a whole run with it, a median.

    left_out are those beyond KERNELS_MAX, the quickest, and left_out_us what they take. problem says why there are none.
    """

    sha256: str
    runs: int
    run_us: float
    kernels: Tuple[Kernel, ...]
    left_out: int = 0
    left_out_us: float = 0.0
    peaks: Optional[Peaks] = None
    problem: Optional[str] = None


class TimesKernels(Protocol):
    """What a runtime in runtimes/ may have beside the protocol of its seam: its own profiler."""

    def time_kernels(
        self, path: Path, threads: int, feeds: Mapping[str, NDArray[np.generic]]
    ) -> Tuple[Sequence[Kernel], Sequence[float]]:
        """Return the kernels in the order of their execution, and the µs of each whole run."""

    def measure_peaks(self, threads: int, copy_bytes: int) -> Peaks:
        """Return the best that this board does."""


def time_layers(
    runtime: Runtime,
    path: Path,
    threads: int,
    feeds: Mapping[str, NDArray[np.generic]],
    *,
    sha256: str,
    placement: Placement,
) -> LayerTimes:
    """Return the times of a payload's kernels on these feeds; what goes wrong is said in it, for no verdict needs them."""
    if not hasattr(runtime, "time_kernels"):
        return _refuse(sha256, "the agent does not read the times of layers from this runtime")
    profiler = cast("TimesKernels", runtime)
    try:
        kernels, runs_us = profiler.time_kernels(path, threads, feeds)
        peaks = profiler.measure_peaks(threads, sum(layer.moved_bytes or 0 for layer in placement.layers))
    except (ToolchainError, OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        return _refuse(sha256, first_line(error))
    if not runs_us or not kernels:
        return _refuse(sha256, "the runtime's profile has no kernel")
    slowest = sorted(range(len(kernels)), key=lambda index: -kernels[index].median_us)[:KERNELS_MAX]
    kept = tuple(kernels[index] for index in sorted(slowest))
    left_us = sum(kernel.median_us for kernel in kernels) - sum(kernel.median_us for kernel in kept)
    return LayerTimes(
        sha256=sha256,
        runs=len(runs_us),
        run_us=sorted(runs_us)[len(runs_us) // 2],
        kernels=kept,
        left_out=len(kernels) - len(kept),
        left_out_us=max(0.0, left_us),
        peaks=peaks,
    )


def _refuse(sha256: str, problem: str) -> LayerTimes:
    return LayerTimes(sha256=sha256, runs=0, run_us=0.0, kernels=(), problem=problem)
