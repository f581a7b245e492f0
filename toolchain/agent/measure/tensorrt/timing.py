"""The time of each kernel and layer of an engine, from TensorRT's profiler. Not yet run on hardware."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Collection, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from ..episodes import EPISODES
from ..latency import Stopwatch
from ..layer_times import Kernel
from ..quantiles import Ratio, compare_rounds
from ..session import BuildRequest
from .built import open_built
from .inspector import UNKNOWN, list_kernels, list_kinds
from .profiler import assign_times, check_times

# As of latency: three rounds to an episode, and a median in each.
_ROUNDS, _RUNS_A_ROUND = 3 * EPISODES, 3
# As under ONNX Runtime's profiler: enough for a median; of what takes longer there are at least five.
_PROFILED_RUNS, _PROFILED_RUNS_MIN, _PROFILED_S = 50, 5, 0.25


def time_kernels(
    path: Path, feeds: Mapping[str, NDArray[np.generic]], build: Optional[BuildRequest] = None
) -> Tuple[Sequence[Kernel], Sequence[float]]:
    """Return the kernels of the engine under TensorRT's profiler, in the order in which it tells them, and the µs of each run.

    A run is from host memory to host memory, as a latency is. Raises ToolchainError as open_built does, and exit 20 where the
    profile cannot be used. Not yet run on hardware.
    """
    runs_ms: List[Dict[str, float]] = []
    runs_us: List[float] = []
    session = open_built(path, build)
    try:
        text = session.inspect()
        session.profile(feeds, 0)  # warms up
        whole = Stopwatch()
        while len(runs_us) < _PROFILED_RUNS and (len(runs_us) < _PROFILED_RUNS_MIN or whole.read_s() < _PROFILED_S):
            once = Stopwatch()
            runs_ms += session.profile(feeds, 1)
            runs_us.append(once.read_s() * 1e6)
    finally:
        session.close()
    check_times(runs_ms, str(path))
    nodes, kinds = list_kernels(text), list_kinds(text)
    kernels = [
        Kernel(
            name=name,
            op=kinds.get(name, UNKNOWN),
            median_us=median(run_ms[name] for run_ms in runs_ms) * 1e3,
            layers=nodes.get(name, ()),
        )
        for name in runs_ms[0]
    ]
    return kernels, runs_us


def time_layers(
    path: Path, feeds: Mapping[str, NDArray[np.generic]], *, build: BuildRequest, layers: Collection[str], runs: int
) -> Dict[str, List[float]]:
    """Return the time in microseconds of each of these layers in each run, where a kernel of the engine is its own.

    Raises ToolchainError as open_built does, and exit 20 where the profile cannot be used.
    """
    session = open_built(path, build)
    try:
        kernels = list_kernels(session.inspect())
        runs_ms = session.profile(feeds, runs)
    finally:
        session.close()
    check_times(runs_ms, str(path))
    return assign_times(runs_ms, kernels, layers)


def compare_layers(
    paths: Sequence[Path],
    feeds: Mapping[str, NDArray[np.generic]],
    *,
    builds: Sequence[BuildRequest],
    layers: Collection[str],
) -> Dict[str, Ratio]:
    """Return how many times as long each of these layers takes in the second engine as in the first, measured in turns.

    A layer without a kernel of its own in either is left out. Raises ToolchainError as time_layers does.
    """
    runs_ms: List[List[Dict[str, float]]] = [[], []]
    with ExitStack() as stack:
        sessions = []
        for path, build in zip(paths, builds):  # noqa: B905 - Python 3.8 has no strict
            sessions.append(open_built(path, build))
            stack.callback(sessions[-1].close)
        kernels = [list_kernels(session.inspect()) for session in sessions]
        for _ in range(_ROUNDS):
            for index, session in enumerate(sessions):
                runs_ms[index] += session.profile(feeds, _RUNS_A_ROUND)
    times = []
    for index, path in enumerate(paths):
        check_times(runs_ms[index], str(path))
        times.append(assign_times(runs_ms[index], kernels[index], layers))
    return {
        name: compare_rounds(_divide_rounds(times[1][name], times[0][name])) for name in times[0] if name in times[1]
    }


def _divide_rounds(numerators: Sequence[float], denominators: Sequence[float]) -> List[float]:
    rounds = range(0, len(numerators), _RUNS_A_ROUND)
    medians = [
        [median(times[start : start + _RUNS_A_ROUND]) for start in rounds] for times in (numerators, denominators)
    ]
    return [numerator / medians[1][index] for index, numerator in enumerate(medians[0])]
