"""Trials of a lowering: build the model with some layers in float and measure what it returns."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.agent.measure.facts import Facts, is_this_cpu
from toolchain.agent.measure.libraries import find_module
from toolchain.agent.measure.parity import check_outputs
from toolchain.agent.measure.session import Session
from toolchain.agent.measure.sqnr import Powers, measure_powers, to_db
from toolchain.errors import ToolchainError
from toolchain.graph.float_outputs import FloatOutputs
from toolchain.graph.session import HostSession, open_as_board
from toolchain.lower.dynamic.emulation import emulate_integer_products
from toolchain.lower.each import count_cpus, do_each
from toolchain.lower.fp16_emulation import emulate_float16
from toolchain.lower.layer_noise import measure_alone_db
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.stored_weights import StoredWeights

Arrays = Mapping[str, NDArray[np.generic]]
Runs = dict[int, Mapping[str, Powers]]
"""The powers of signal and noise of each output, by the number of the sample."""

# Resamples of the bootstrap, and the quantile of them that is taken as the bound on either side.
_DRAWS = 400
_QUANTILE = 0.02

# Benches are compared first when they have so many samples, then at twice as many.
_FIRST_LOOK = 8

# Above the gate: of the noise that it allows a quarter is there. What would make numbers better has no layer to win then.
AMPLE_DB = 6.0

# The signal of an output of zeros.
_TINY = 1e-300

# Of two ways that keep so nearly the same it does not matter which is taken: a layer in float is worth more.
_ALIKE_DB = 1.0

# Runtimes whose session may run in several threads at once: as many runs of one thread each take less time than one run
# after the other on as many threads.
_CONCURRENT = frozenset({"onnxruntime"})


@dataclass(frozen=True)
class SqnrEstimate:
    """SQNR of an output in dB on the samples seen, and what it surely keeps, and misses, on others like them."""

    sqnr_db: float
    low_db: float
    high_db: float


@dataclass(frozen=True)
class Trial:
    """What a set of layers in float turned out to be worth."""

    passes: bool
    low_db: float
    """What the worst output surely keeps, in dB; of one that fails, what it keeps at most."""


@dataclass(frozen=True)
class Bench:
    """A float model, what makes lowerings of it, and runs on real data to judge them by."""

    model: onnx.ModelProto
    build: Callable[[frozenset[str]], onnx.ModelProto]
    """Returns the lowered model with these layers in float."""
    feeds: Sequence[Arrays]
    """What to feed, one run each."""
    references: Sequence[Arrays]
    """What the model to be kept returned for each: the float model, or the trained one."""
    trained: onnx.ModelProto | None = None
    """Of a model trained for int8, what was trained: it is the reference in the float model's place."""
    kernels: str | None = None
    """The runtime that trials run on, because its kernels on this machine are those that the model is lowered for."""

    weights: StoredWeights | None = None
    """The model's large weights, which trials are then written without; None writes each whole."""
    engines: Path | None = None
    """Where a runtime that builds engines keeps those of trials."""
    _known: dict[frozenset[str], Runs] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What each set of layers in float returned, so that no sample is run again: a bench made from this one, which may build or
    feed something else, starts without."""

    def on(self, feeds: Sequence[Arrays], references: Sequence[Arrays] = ()) -> Bench:
        """Return the same bench on other samples; references: what the float model returned for them, where it is known.

        Raises ToolchainError (exit 18) where the model to be kept returns NaN, or an output without a finite value.
        """
        if self.trained is not None or len(references) < len(feeds):
            references = list(self.run_float(feeds))
        outputs = FloatOutputs("lowering")
        for sample, reference in enumerate(references):
            outputs.add(reference, first_sample=sample)
        outputs.finish()
        return replace(self, feeds=feeds, references=references)

    def run_float(self, feeds: Sequence[Arrays]) -> Iterator[Arrays]:
        """Yield what the model to be kept returns for each of some feeds."""
        session = open_emulated(self.model if self.trained is None else self.trained, threads=1)
        yield from do_each(session.run, feeds, workers=count_cpus())

    def run(self, keep_float: frozenset[str], feeds: Sequence[Arrays]) -> Iterator[Arrays]:
        """Yield what the model with these layers in float returns for each of some feeds."""
        session, workers = self._open(keep_float)
        yield from do_each(session.run, feeds, workers=workers)

    def join(self, other: Bench) -> Bench:
        """Return the bench with the samples of both, and what is known of them; the other builds the same."""
        joined = replace(self, feeds=[*self.feeds, *other.feeds], references=[*self.references, *other.references])
        for bench, first in ((self, 0), (other, len(self.feeds))):
            for layers, runs in bench._known.items():
                joined._known.setdefault(layers, {}).update({first + sample: run for sample, run in runs.items()})
        return joined

    def measure_outputs_db(self, keep_float: frozenset[str], *, samples: int | None = None) -> dict[str, SqnrEstimate]:
        """Return the SQNR of every output with these layers in float, on the first `samples` of the feeds, or on all."""
        wanted = range(len(self.feeds[:samples]))
        known = self._known.setdefault(keep_float, {})
        known.update(self._measure(keep_float, [sample for sample in wanted if sample not in known]))
        return _estimate_outputs([known[sample] for sample in wanted])

    def measure_sqnr_db(self, keep_float: frozenset[str], *, samples: int | None = None) -> float:
        """Return what the worst output surely keeps, in dB, with these layers in float."""
        return min(estimate.low_db for estimate in self.measure_outputs_db(keep_float, samples=samples).values())

    def rank_alone_db(
        self,
        plan: QdqPlan,
        layers: Sequence[str],
        keep_float: frozenset[str],
        *,
        samples: int,
        on_layer: Callable[[], None],
    ) -> dict[str, float]:
        """Return the SQNR of the worst output in dB with each of these layers alone in int8, on the first `samples`.

        keep_float: other layers, which stay in float. In one pass over the float model; by a trial of each where its reference is
        another model, or a piece of it does not run by itself.
        """
        advance = count_up_to(len(layers), on_layer)
        if self.trained is None:
            lowered = self.build(keep_float)
            lowered = lowered if self.kernels is not None else emulate_integer_products(lowered)
            deciding, feeds = plan.deciding_layers, self.feeds[:samples]
            sharing = {layer: deciding[layer] for layer in layers}
            try:
                return measure_alone_db(self.model, lowered, plan, sharing, feeds, on_layer=advance)
            except ToolchainError:
                pass
        return self.rank_by_trials(layers, keep_float, samples=samples, on_layer=advance)

    def rank_by_trials(
        self, layers: Sequence[str], keep_float: frozenset[str], *, samples: int, on_layer: Callable[[], None]
    ) -> dict[str, float]:
        """Return the same by a trial of each layer, which opens the model as often."""
        everything, alone_db = keep_float.union(layers), dict[str, float]()
        for layer in layers:
            estimates = self.measure_outputs_db(everything - {layer}, samples=samples)
            alone_db[layer] = min(estimate.sqnr_db for estimate in estimates.values())
            on_layer()
        return alone_db

    def try_out(self, keep_float: frozenset[str], *, sqnr_db_min: float) -> Trial:
        """Return whether every output surely keeps an SQNR with these layers in float.

        It ends where what it has seen misses the gate whatever is left would add, as noise is never negative: samples that are
        usually loud come first. What passes was judged by all.
        """
        known = self._known.setdefault(keep_float, {})
        left = [sample for sample in self._rank_samples() if sample not in known]
        ran = 0
        with closing(self._measure(keep_float, left)) as runs:
            while True:
                low_db = min(row.low_db for row in _estimate_outputs([*(self._silence | known).values()]).values())
                if low_db < sqnr_db_min:
                    return Trial(passes=False, low_db=low_db)
                # A look takes as long as a run of a small model: it waits for half as many runs again.
                some = dict(islice(runs, max(1, ran // 2)))
                if not some:
                    return Trial(passes=True, low_db=low_db)
                known.update(some)
                ran += len(some)

    @cached_property
    def _silence(self) -> Runs:
        """What a model would return that is the reference."""
        return {sample: _compare(outputs, outputs) for sample, outputs in enumerate(self.references)}

    def _rank_samples(self) -> list[int]:
        """Return the samples, those before the others in which the last trials found more of an output's noise."""
        signal = {name: sum(run[name].signal for run in self._silence.values()) for name in self._silence[0]}
        loudness = dict.fromkeys(self._silence, 0.0)
        for runs in self._known.values():
            for sample, run in runs.items():
                loudness[sample] = max(powers.noise / max(signal[name], _TINY) for name, powers in run.items())
        return sorted(loudness, key=lambda sample: -loudness[sample])

    def _measure(
        self, keep_float: frozenset[str], samples: Sequence[int]
    ) -> Generator[tuple[int, Mapping[str, Powers]], None, None]:
        """Yield each of these samples with the powers of signal and noise of its outputs."""
        if not samples:
            return
        session, workers = self._open(keep_float)

        def measure(sample: int) -> tuple[int, Mapping[str, Powers]]:
            return sample, _compare(self.references[sample], session.run(self.feeds[sample]))

        with closing(do_each(measure, samples, workers=workers)) as runs:
            yield from runs

    def _open(self, keep_float: frozenset[str]) -> tuple[HostSession | Session, int]:
        """Return a session of the model with these layers in float, and how many runs of it may be going on at once."""
        model, cpus = self.build(keep_float), count_cpus()
        if self.kernels is None:
            return open_emulated(model, threads=1), cpus
        workers = cpus if self.kernels in _CONCURRENT else 1
        threads = cpus // workers
        payload = model if self.weights is None else self.weights.write(model, "trial.onnx")
        return open_as_board(payload, runtime=self.kernels, threads=threads), workers


def count_up_to(total: int, advance: Callable[[], None]) -> Callable[[], None]:
    """Return what calls `advance` so many times at most: what is begun anew another way has advanced before."""
    left = iter(range(total))
    return lambda: None if next(left, None) is None else advance()


def compare_benches(
    benches: Mapping[str, Bench], keep_float: frozenset[str], *, looks_max: int | None = None
) -> dict[str, float]:
    """Return what the worst output surely keeps in each of several benches on the same samples, in dB.

    All are looked at after 8 samples, then after twice as many; one whose upper bound is under the lower bound of another
    gets no more, and none does where those that are left keep alike, or after so many looks. One session is open at a time.
    """
    racing, low_db = dict(benches), dict[str, float]()
    for look in list_looks(max(len(bench.feeds) for bench in benches.values()))[:looks_max]:
        found = {name: bench.measure_outputs_db(keep_float, samples=look).values() for name, bench in racing.items()}
        low_db |= {name: min(estimate.low_db for estimate in estimates) for name, estimates in found.items()}
        best_db = max(low_db[name] for name in racing)
        racing = {
            name: bench
            for name, bench in racing.items()
            if min(estimate.high_db for estimate in found[name]) >= best_db
        }
        if best_db - min(low_db[name] for name in racing) < _ALIKE_DB:
            break
    return low_db


def list_looks(samples: int) -> list[int]:
    """Return after how many samples a trial of so many looks: doubling, and at all of them."""
    looks = [_FIRST_LOOK * 2**power for power in range(samples.bit_length())]
    return [*(look for look in looks if look < samples), samples]


def _compare(reference: Arrays, outputs: Arrays) -> Mapping[str, Powers]:
    """Return the powers of signal and noise of each output of one run."""
    check_outputs(reference, outputs)
    return {name: measure_powers(array, outputs[name]) for name, array in reference.items()}


def _estimate_outputs(runs: Sequence[Mapping[str, Powers]]) -> dict[str, SqnrEstimate]:
    return {name: _estimate([run[name] for run in runs]) for name in runs[0]}


def _estimate(samples: Sequence[Powers]) -> SqnrEstimate:
    """Return the SQNR from the powers of each sample, and its bounds.

    They are the percentile bootstrap (Efron 1979) over samples: an output whose noise comes from a few samples has
    a low one, because other samples may hold more of them.
    """
    signal, noise = (np.array([getattr(powers, part) for powers in samples]) for part in ("signal", "noise"))
    draws = _draw(len(signal))
    drawn_db = to_db(signal[draws].sum(axis=1), noise[draws].sum(axis=1))
    low, high = np.quantile(drawn_db, [_QUANTILE, 1.0 - _QUANTILE])
    return SqnrEstimate(sqnr_db=float(to_db(signal.sum(), noise.sum())), low_db=float(low), high_db=float(high))


@cache
def _draw(samples: int) -> NDArray[np.intp]:
    return np.random.default_rng(0).integers(0, samples, (_DRAWS, samples))


def find_kernels(runtime: str, facts: Facts) -> str | None:
    """Return the runtime, where it is installed here and the board's CPU is like this machine's; else None."""
    return runtime if is_this_cpu(facts) and find_module(runtime) is not None else None


def open_emulated(model: onnx.ModelProto, *, threads: int) -> HostSession:
    """Open a model in memory to compute what other kernels than this machine's would return.

    Float16 is rounded as a GPU rounds it, and what stands between Q/DQ pairs is as good as exact (HostSession), as are
    products of integers.
    """
    emulated = emulate_float16(model)
    return HostSession(emulate_integer_products(emulated), threads=threads, rounds_between=emulated is not model)
