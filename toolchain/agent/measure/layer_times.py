"""What each kernel of a payload takes, and what the board could do at the most: it explains a verdict, and gates nothing."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Collection, List, Mapping, Optional, Protocol, Sequence, Tuple, cast

from ..errors import ToolchainError, first_line
from .placement import Placement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .session import BuildRequest, Runtime

# A record stays under 64 kB by them; MobileViT-S has some 400, of which the last quarter takes 0.3 ms in all.
KERNELS_MAX = 400


@dataclass(frozen=True)
class Kernel:
    """A kernel that the runtime ran, by its own name of it; median_us of all its runs, a loop's steps added up.

    layers are the names of those of the placement whose work it does, where the runtime tells; without any, the layer is the
    one of its own name. No two kernels have one.
    """

    name: str
    op: str
    median_us: float
    layers: Tuple[str, ...] = ()


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
    bf16_gmacs: Optional[float] = None
    """Where the runtime computes in it on this CPU."""

    def list_speeds(self) -> List[float]:
        """Return every speed that was measured."""
        bf16 = [] if self.bf16_gmacs is None else [self.bf16_gmacs]
        return [self.float_gmacs, self.int8_gmacs, self.memory_gb_s, *bf16]


@dataclass(frozen=True)
class LayerTimes:
    """The kernels of one payload under the runtime's own profiler, which slows it: run_us is a whole run with it, a median.

    left_out are those beyond KERNELS_MAX, the quickest, and left_out_us what they take. problem says why there are no kernels,
    peaks_problem why there are no peaks.
    """

    sha256: str
    runs: int
    run_us: float
    kernels: Tuple[Kernel, ...]
    left_out: int = 0
    left_out_us: float = 0.0
    peaks: Optional[Peaks] = None
    problem: Optional[str] = None
    peaks_problem: Optional[str] = None


class TimesKernels(Protocol):
    """What a runtime in runtimes/ may have beside the protocol of its seam: its own profiler, and the peaks under it."""

    def time_kernels(
        self,
        path: Path,
        threads: int,
        feeds: Mapping[str, NDArray[np.generic]],
        build: Optional[BuildRequest] = None,
    ) -> Tuple[Sequence[Kernel], Sequence[float]]:
        """Return the kernels in the order of their execution, and the µs of each whole run.

        Their layers may be any nodes of the payload: those that are no layers of the placement are left out later.
        """

    def measure_peaks(self, threads: int, copy_bytes: int) -> Peaks:
        """Return the best that this board does; a runtime may have no such function."""


# What a profiler of another version than those tried may break with: no verdict needs it.
_PROBLEMS = (
    ToolchainError, OSError, ValueError, KeyError, IndexError, AttributeError, TypeError, RuntimeError, MemoryError,
)  # fmt: skip


def time_layers(
    runtime: Runtime,
    path: Path,
    threads: int,
    feeds: Mapping[str, NDArray[np.generic]],
    *,
    sha256: str,
    placement: Placement,
    build: Optional[BuildRequest] = None,
) -> LayerTimes:
    """Return the times of a payload's kernels on these feeds; what goes wrong is said in it, for no verdict needs them."""
    if not hasattr(runtime, "time_kernels"):
        return _refuse(sha256, "the agent does not read the times of layers from this runtime")
    try:
        kernels, runs_us = cast("TimesKernels", runtime).time_kernels(path, threads, feeds, build)
    except _PROBLEMS as error:
        return _refuse(sha256, _describe(error))
    if not runs_us or not kernels:
        return _refuse(sha256, "the runtime's profile has no kernel")
    wrong = [time_us for time_us in (*runs_us, *(kernel.median_us for kernel in kernels)) if not _is_time(time_us)]
    if wrong:
        return _refuse(sha256, f"the runtime's profile has a time of {wrong[0]} µs")
    slowest = sorted(range(len(kernels)), key=lambda index: -kernels[index].median_us)[:KERNELS_MAX]
    kept = [kernels[index] for index in sorted(slowest)]
    left_us = sum(kernel.median_us for kernel in kernels) - sum(kernel.median_us for kernel in kept)
    peaks, peaks_problem = _measure_peaks(runtime, threads, placement)
    return LayerTimes(
        sha256=sha256,
        runs=len(runs_us),
        run_us=sorted(runs_us)[len(runs_us) // 2],
        kernels=_assign_layers(kept, {layer.name for layer in placement.layers}),
        left_out=len(kernels) - len(kept),
        left_out_us=max(0.0, left_us),
        peaks=peaks,
        peaks_problem=peaks_problem,
    )


def _is_time(time_us: float) -> bool:
    return math.isfinite(time_us) and time_us >= 0


def _assign_layers(kernels: Sequence[Kernel], layers: Collection[str]) -> Tuple[Kernel, ...]:
    """Return the kernels with the layers that each alone does the work of: of one that several do, nobody knows the shares."""
    own: List[Sequence[str]] = [[name for name in dict.fromkeys(kernel.layers) if name in layers] for kernel in kernels]
    claims = Counter(name for names in own for name in names)
    pairs = zip(kernels, own)  # noqa: B905 - Python 3.8 has no strict
    return tuple(replace(kernel, layers=tuple(name for name in names if claims[name] == 1)) for kernel, names in pairs)


def _measure_peaks(runtime: Runtime, threads: int, placement: Placement) -> Tuple[Optional[Peaks], Optional[str]]:
    if not hasattr(runtime, "measure_peaks"):
        return None, "the agent measures no peaks under this runtime"
    copy_bytes = sum(layer.moved_bytes or 0 for layer in placement.layers)
    try:
        peaks = cast("TimesKernels", runtime).measure_peaks(threads, copy_bytes)
    except _PROBLEMS as error:
        return None, _describe(error)
    if not all(map(_is_time, peaks.list_speeds())):
        return None, "the peaks that were measured are no speeds"
    return peaks, None


def _describe(error: BaseException) -> str:
    found = error.found if isinstance(error, ToolchainError) else None
    return first_line(error) if found is None else f"{first_line(error)}: {found}"


def _refuse(sha256: str, problem: str) -> LayerTimes:
    return LayerTimes(sha256=sha256, runs=0, run_us=0.0, kernels=(), problem=problem)
