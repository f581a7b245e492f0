"""Which layers must stay in float for the outputs to be right: searched on some samples, confirmed on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from toolchain.lower.layer_search import AccuracySearch, LayerTime, find_guilty_layers
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.request import StartSteps
from toolchain.lower.trial import Bench, Trial

# A search that its confirmation refutes is done again. Where no other samples are left to confirm that, its gate is what
# the refuted one kept and what was missing.
_SEARCHES = 3

# To rank layers by the noise that each causes alone, which takes as many trials as there are layers.
_RANK_SAMPLES = 4


class Trials:
    """Tries sets of layers in float on one bench, each once: a second search asks for many again."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._known: dict[frozenset[str], Trial] = {}

    def try_out(self, keep_float: frozenset[str], *, sqnr_db_min: float) -> Trial:
        """Return whether the model passes a gate, which only rises: one that failed a lower gate fails this one."""
        known = self._known.get(keep_float)
        if known is not None:
            return replace(known, passes=known.passes and known.low_db >= sqnr_db_min)
        self._known[keep_float] = self._bench.try_out(keep_float, sqnr_db_min=sqnr_db_min)
        return self._known[keep_float]

    def widen(self, other: Bench) -> None:
        """Go by the samples of another bench too; what surely failed without them stays as it was."""
        self._bench = self._bench.join(other)
        self._known = {layers: trial for layers, trial in self._known.items() if trial.surely}


def keep_accurate(
    bench: Bench,
    others: Sequence[Bench],
    plan: QdqPlan,
    keep: frozenset[str],
    times: Mapping[str, LayerTime],
    sqnr_db_min: float,
    start_steps: StartSteps,
) -> dict[str, str]:
    """Return the layers that must stay in float for every output to keep its SQNR, each with the reason.

    The bench searches; the first of the others confirms, by its own lower bound, because a search flatters itself on the
    samples that it chose by. Confirmed by their SQNR alone, models at the gate missed it on a third set by up to 1.1 dB
    (docs/wild.md). A search that is refuted is done again with the samples that refuted it, and the next of the others
    confirms; with a stricter gate where there is none.
    """
    layers = [name for name, sharing in plan.deciding_layers.items() if not keep.intersection(sharing)]
    if not layers:
        return {}
    trials, unseen, gate_db = Trials(bench), list(others), sqnr_db_min
    search = AccuracySearch((), {})
    for _ in range(_SEARCHES):
        search = find_guilty_layers(
            layers,
            lambda guilty: trials.try_out(keep | guilty, sqnr_db_min=gate_db),  # noqa: B023 - called in this round alone
            rank_sqnr_db=lambda guilty: bench.rank_sqnr_db(keep | guilty, samples=_RANK_SAMPLES),
            known_db=search.alone_db,
            sqnr_db_min=gate_db,
            costs={name: time.float_us - time.int8_us for name, time in times.items()},
            start_steps=start_steps,
        )
        found = keep | frozenset(search.keep_float)
        missing_db = sqnr_db_min - unseen[0].measure_sqnr_db(found) if unseen else 0.0
        if missing_db <= 0:
            break
        if len(unseen) > 1:
            trials.widen(unseen.pop(0))
        else:
            gate_db = trials.try_out(found, sqnr_db_min=gate_db).low_db + missing_db
    return {
        name: f"spoils an output: alone in int8 it leaves {search.alone_db[name]:.1f} dB of SQNR"
        for name in search.keep_float
    }
