"""The sample that latency is measured on: where the work of a model depends on what it is fed, one that takes long.

NMS in the graph, a loop over characters, a branch: measured on a picture with nothing in it, a limit on latency would be
kept that the next picture breaks.
"""

from __future__ import annotations

from typing import Callable, Dict, Sequence

from .latency import Stopwatch

Bind = Callable[[int], Callable[[], object]]
"""Returns what runs the model once, on the samples of a run that begins with this one."""

# So many runs are looked at, fewer where they take longer than this; then the slowest of them again, in turn with the first.
_LOOKED_MAX, _LOOKED_MIN = 64, 8
_LIMIT_S = 1.0
_FINALISTS = 3
# Each is timed several times, and once where that alone takes so long that an interrupt is nothing beside it.
_ROUNDS, _LONG_S = 3, 0.1

# The least of several times of the same work differs by less, on a quiet machine: a tenth, or what one interrupt takes.
_NOTICED = 1.1
_NOTICED_S = 2e-5


def find_slowest(bind: Bind, samples: Sequence[int], *, make_watch: Callable[[], Stopwatch] = Stopwatch) -> int:
    """Return the sample that surely takes longest of those looked at, or the first where all take about as long.

    samples: the first of each run, in order; at least one.
    """

    def time_s(run: Callable[[], object]) -> float:
        watch = make_watch()
        run()
        return watch.read_s()

    first, others = samples[0], samples[1:_LOOKED_MAX]
    run_first = bind(first)
    rounds = _ROUNDS if time_s(run_first) < _LONG_S else 1
    first_s = min(time_s(run_first) for _ in range(rounds))
    looking = make_watch()
    suspects: Dict[int, float] = {}
    for looked, sample in enumerate(others, start=1):
        if looked >= _LOOKED_MIN and looking.read_s() > _LIMIT_S:
            break
        taken_s = time_s(bind(sample))
        if _is_longer(taken_s, first_s):
            suspects[sample] = taken_s
    finalists = sorted(suspects, key=lambda sample: -suspects[sample])[:_FINALISTS]
    runs = {sample: bind(sample) for sample in (first, *finalists)}
    turns = [{sample: time_s(run) for sample, run in runs.items()} for _ in range(rounds)]
    least_s = {sample: min(times[sample] for times in turns) for sample in runs}
    slowest = max(runs, key=lambda sample: least_s[sample])
    return slowest if _is_longer(least_s[slowest], least_s[first]) else first


def _is_longer(taken_s: float, first_s: float) -> bool:
    return taken_s > _NOTICED * first_s and taken_s > first_s + _NOTICED_S
