"""Trials of a lowering: build the model with some layers in float and measure what it returns."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.agent.measure.facts import Facts, is_this_cpu
from toolchain.agent.measure.libraries import find_module
from toolchain.agent.measure.parity import check_outputs
from toolchain.agent.measure.sqnr import measure_powers, to_db
from toolchain.graph.float_outputs import FloatOutputs
from toolchain.graph.session import HostSession, open_as_board
from toolchain.lower.fp16_emulation import emulate_float16

Arrays = Mapping[str, NDArray[np.generic]]


# Resamples of the bootstrap, and the quantile of them that is taken as the lower bound.
_DRAWS = 400
_LOW_QUANTILE = 0.02


@dataclass(frozen=True)
class SqnrEstimate:
    """SQNR of an output in dB on the samples seen, and what it surely keeps on others like them."""

    sqnr_db: float
    low_db: float


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

    def on(self, feeds: Sequence[Arrays]) -> Bench:
        """Return the same bench on other samples.

        Raises ToolchainError (exit 18) where the model to be kept returns NaN, or an output without a finite value.
        """
        session = open_emulated(self.model if self.trained is None else self.trained, threads=os.cpu_count() or 1)
        references = [session.run(dict(feed)) for feed in feeds]
        outputs = FloatOutputs("lowering")
        for sample, reference in enumerate(references):
            outputs.add(reference, first_sample=sample)
        outputs.finish()
        return replace(self, feeds=feeds, references=references)

    def measure_outputs_db(self, keep_float: frozenset[str], *, samples: int | None = None) -> dict[str, SqnrEstimate]:
        """Return the SQNR of every output with these layers in float, on the first `samples` of the feeds, or on all."""
        model, threads = self.build(keep_float), os.cpu_count() or 1
        session = (
            open_emulated(model, threads=threads)
            if self.kernels is None
            else open_as_board(model, runtime=self.kernels, threads=threads)
        )
        signal: dict[str, list[float]] = defaultdict(list)
        noise: dict[str, list[float]] = defaultdict(list)
        for feed, reference in zip(self.feeds[:samples], self.references[:samples], strict=True):
            outputs = session.run(feed)
            check_outputs(reference, outputs)
            for name, array in reference.items():
                powers = measure_powers(array, outputs[name])
                signal[name].append(powers.signal)
                noise[name].append(powers.noise)
        return {name: _estimate(np.array(signal[name]), np.array(noise[name])) for name in signal}

    def measure_sqnr_db(self, keep_float: frozenset[str]) -> float:
        """Return what the worst output surely keeps, in dB, with these layers in float."""
        return min(estimate.low_db for estimate in self.measure_outputs_db(keep_float).values())

    def rank_sqnr_db(self, keep_float: frozenset[str], *, samples: int) -> float:
        """Return the SQNR of the worst output in dB on the first `samples` of the feeds, without a bound."""
        return min(estimate.sqnr_db for estimate in self.measure_outputs_db(keep_float, samples=samples).values())


def _estimate(signal: NDArray[np.float64], noise: NDArray[np.float64]) -> SqnrEstimate:
    """Return the SQNR from the powers of each sample (N,), and its lower bound.

    The bound is the percentile bootstrap (Efron 1979) over samples: an output whose noise comes from a few samples has
    a low one, because other samples may hold more of them.
    """
    draws = np.random.default_rng(0).integers(0, len(signal), (_DRAWS, len(signal)))
    low = np.quantile(to_db(signal[draws].sum(axis=1), noise[draws].sum(axis=1)), _LOW_QUANTILE)
    return SqnrEstimate(sqnr_db=float(to_db(signal.sum(), noise.sum())), low_db=float(low))


def find_kernels(runtime: str, facts: Facts) -> str | None:
    """Return the runtime, where it is installed here and the board's CPU is like this machine's; else None."""
    return runtime if is_this_cpu(facts) and find_module(runtime) is not None else None


def open_emulated(model: onnx.ModelProto, *, threads: int) -> HostSession:
    """Open a model in memory to compute what other kernels than this machine's would return.

    Float16 is rounded as a GPU rounds it, and what stands between Q/DQ pairs is as good as exact (HostSession).
    """
    return HostSession(emulate_float16(model), threads=threads)
