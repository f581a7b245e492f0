"""Takes the time of each kernel from OpenVINO's own profiler, which counts for as long as a compiled graph lives.

What it tells of a kernel is the mean of all runs so far, the cold first one included, and in whole microseconds: each run
rounded down, and their mean once more (intel_cpu/src/perf_count.h). So a graph is compiled several times; of each, the runs
after the first are counted, and the median is of these means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Collection, Dict, List, Mapping, Sequence, Set, Tuple

from ...errors import ExitCode, ToolchainError
from ..layer_times import Kernel
from .compilation import compile_model, read_model
from .execution import OpenVinoSession
from .layers import SOURCES, list_own_layers, read_info, read_names, read_sources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Short means and many of them: one that met other work on the CPU is none in the middle. What takes long is opened less often.
OPENINGS, RUNS, _OPENINGS_S = 9, 5, 2.0
# Parts of the payload that say nothing of a kernel's work: the precision tells of them.
_UNTOLD = frozenset({"Convert", "FakeQuantize", "Parameter", "Result"})
# A bias is brought to the shape of what it is added to.
_CONSTANT = frozenset({"Constant", "ShapeOf"})
# With a constant they are a bias or a scale.
_ARITHMETIC = frozenset({"Add", "Subtract", "Multiply", "Divide"})


@dataclass(frozen=True)
class Counted:
    """What the profiler told of a compiled graph: the mean of each kernel's runs in whole µs, after one run and after all."""

    first_us: Sequence[int]
    mean_us: Sequence[int]
    runs_us: Sequence[float]
    """Of the whole runs after the first."""


def time_kernels(
    path: Path,
    threads: int,
    feeds: Mapping[str, NDArray[np.generic]],
    *,
    openings: int = OPENINGS,
    runs: int = RUNS,
) -> Tuple[Sequence[Kernel], Sequence[float]]:
    """Return the kernels of the graph as it is opened for a session, and the µs of each whole run but the first of an opening.

    Raises ToolchainError as opening does, and exit 20 where the profile cannot be used.
    """
    from ..latency import Stopwatch  # here: it needs numpy, and a board without it must still say what it lacks

    model = read_model(path)
    own = {node.get_friendly_name() for node in model.get_ordered_ops()}
    kernels: List[List[Tuple[str, str]]] = []
    counted: List[Counted] = []
    whole = Stopwatch()
    while len(counted) < openings and (not counted or whole.read_s() < _OPENINGS_S):
        compiled = compile_model(model, path, threads, is_profiled=True)
        counted.append(_count(compiled, OpenVinoSession(compiled, path), feeds, runs))
        nodes = compiled.get_runtime_model().get_ordered_ops()
        kernels.append(list_work(nodes, own))
    check_counts(kernels, counted, str(path))
    times_us = [median(each) for each in zip(*map(estimate_us, counted))]  # noqa: B905 - Python 3.8 has no strict
    return describe_kernels(model, nodes, times_us), [run_us for one in counted for run_us in one.runs_us]


def _count(compiled: Any, session: OpenVinoSession, feeds: Mapping[str, NDArray[np.generic]], runs: int) -> Counted:
    from ..latency import Stopwatch

    session.run(feeds)
    first_us = _read_counts(compiled)
    runs_us: List[float] = []
    for _ in range(runs):
        once = Stopwatch()
        session.run(feeds)
        runs_us.append(once.read_s() * 1e6)
    mean_us = _read_counts(compiled)
    session.close()
    return Counted(first_us=first_us, mean_us=mean_us, runs_us=runs_us)


def _read_counts(compiled: Any) -> List[int]:
    # "not_executed" is what ran in no whole microsecond too.
    told = [read_info(node, "execTimeMcs") for node in compiled.get_runtime_model().get_ordered_ops()]
    return [int(text) if re.fullmatch(r"-?\d+", text) else 0 for text in told]


def list_work(nodes: Sequence[Any], own: Collection[str]) -> List[Tuple[str, str]]:
    """Return the kind of each kernel and whose work it does, without the names that OpenVINO makes up anew at every opening."""
    parts = [", ".join(name for name in read_names(node) if name in own) for node in nodes]
    return [(part, read_info(node, "layerType")) for part, node in zip(parts, nodes)]  # noqa: B905 - Python 3.8 has no strict


def check_counts(kernels: Sequence[Sequence[Tuple[str, str]]], counted: Sequence[Counted], where: str) -> None:
    """Refuse (exit 20) a profile of other kernels in one opening than in another, of none, or with what is no time."""
    for one, counts in zip(kernels, counted):  # noqa: B905 - Python 3.8 has no strict
        if list(one) != list(kernels[0]):
            others = sorted(f"{name} ({kind})" for name, kind in set(one) ^ set(kernels[0]))
            found = ", ".join(others)[:200] or "another order"
            raise _refuse(where, "the same kernels whenever the payload is opened", found)
        if {len(counts.first_us), len(counts.mean_us)} != {len(one)}:
            found = f"{len(counts.first_us)} and {len(counts.mean_us)} of {len(one)}"
            raise _refuse(where, "a time of each kernel", found)
        if not any(counts.mean_us):
            raise _refuse(where, "a time of each kernel", "no kernel takes a whole microsecond")
        runs = len(counts.runs_us)
        for (name, _), first_us, mean_us in zip(one, counts.first_us, counts.mean_us):  # noqa: B905 - as above
            if min(first_us, mean_us) < 0 or first_us > (runs + 1) * mean_us + runs:
                found = f"{first_us} µs in the first run, {mean_us} in the mean of {runs + 1}"
                raise _refuse(f"{where}: {name}", "times that add up", found)


def estimate_us(counted: Counted) -> List[float]:
    """Return the mean of each kernel's runs after the first.

    The mean of all of n runs is told rounded down, so that their sum is up to n - 1 µs more: it is taken to be in the middle.
    """
    runs = len(counted.runs_us)
    times_us = []
    for first_us, mean_us in zip(counted.first_us, counted.mean_us):  # noqa: B905 - Python 3.8 has no strict
        most_us = (runs + 1) * mean_us + runs - first_us
        least_us = max(0, (runs + 1) * mean_us - first_us)
        times_us.append((least_us + most_us) / 2 / runs if mean_us else 0.0)
    return times_us


def describe_kernels(model: Any, nodes: Sequence[Any], times_us: Sequence[float]) -> List[Kernel]:
    """Return the kernels that took time, and those of layers that took too little to be told.

    What a kernel does beside its layer stands behind its kind; what is no layer is called by what it does of the payload.
    """
    kinds, sources = read_kinds(model), read_sources(model)
    kernels = []
    for node, time_us in zip(nodes, times_us):  # noqa: B905 - Python 3.8 has no strict
        layers, kind = tuple(list_own_layers(node, sources)), read_info(node, "layerType")
        if time_us > 0 or layers:
            name = layers[0] if len(layers) == 1 else str(node.get_friendly_name())
            fused = list(
                dict.fromkeys(kinds[part] for part in read_names(node) if part in kinds and part not in layers)
            )
            op = " + ".join([kind, *fused] if layers or kind == "Subgraph" else fused or [kind])
            kernels.append(Kernel(name=name, op=op, median_us=time_us, layers=layers))
    return kernels


def read_kinds(model: Any) -> Dict[str, str]:
    """Return the operators of the frontend's graph by their nodes' names, but those that come with a layer: biases, scales."""
    kinds: Dict[str, str] = {}
    constants: Set[str] = set()
    for node in model.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        reads = [node.input_value(index).get_node().get_friendly_name() for index in range(node.get_input_size())]
        if kind in _CONSTANT or (reads and constants.issuperset(reads)):
            constants.add(name)
        elif kind not in _UNTOLD | SOURCES and not (kind in _ARITHMETIC and constants.intersection(reads)):
            kinds[name] = kind
    return kinds


def _refuse(where: str, expected: str, found: str) -> ToolchainError:
    return ToolchainError(
        ExitCode.INVALID,
        "OpenVINO's profile cannot be used",
        where=where,
        expected=expected,
        found=found,
        fix="measure again; where it comes back, report it with OpenVINO's version",
    )
