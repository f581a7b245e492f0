"""Parity: how far a payload's outputs are from the reference's, output by output, batch by batch."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from .sqnr import CHUNK_ELEMENTS, SQNR_DB_LIMIT, keep_measured, to_db

# Errors are counted by the upper 17 bits of their float32: sign, exponent and 8 bits of the fraction. A bin is then
# 1/256 of its value wide, and 2**16 bins hold every positive float32.
_DROPPED_BITS = 15
_BINS = 1 << 16


@dataclass(frozen=True)
class OutputParity:
    """The distance of one output from its reference.

    max_abs is the largest |deployed - reference|; p99_abs its 99 % quantile over all elements, at most 0.4 % too large;
    cosine the similarity of the two as flat vectors; sqnr_db = 10 log10(sum(reference²) / sum(error²)), within ±200 dB,
    where 200 means equal; nonfinite counts elements that are NaN or infinite on one side and not the same on the other,
    and with one of them sqnr_db is -200. What is measured at all: toolchain/agent/measure/sqnr.py.
    """

    output: str
    max_abs: float
    p99_abs: float
    cosine: float
    sqnr_db: float
    nonfinite: int


class _Sums:
    """The running sums of one output: small, whatever the number of samples, and two of them can be added."""

    def __init__(self) -> None:
        self.reference_squares = 0.0
        self.deployed_squares = 0.0
        self.error_squares = 0.0
        self.products = 0.0
        self.max_abs = 0.0
        self.nonfinite = 0
        self.histogram = np.zeros(_BINS, dtype=np.int64)

    def add(self, reference: NDArray[Any], deployed: NDArray[Any]) -> None:
        # Both: (K,).
        reference, deployed, mismatches = keep_measured(reference, deployed)
        self.nonfinite += mismatches
        if reference.size == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # float64 outputs near 1e308; summarize() expects infinities
            error = np.abs(deployed - reference)
            self.reference_squares += float(np.dot(reference, reference))
            self.deployed_squares += float(np.dot(deployed, deployed))
            self.error_squares += float(np.dot(error, error))
            self.products += float(np.dot(reference, deployed))
        self.max_abs = max(self.max_abs, min(float(error.max()), sys.float_info.max))
        largest = np.finfo(np.float32).max
        bins = np.minimum(error, largest).astype(np.float32).view(np.uint32) >> _DROPPED_BITS
        self.histogram += np.bincount(bins, minlength=_BINS)

    def _compute_p99_abs(self) -> float:
        cumulated = np.cumsum(self.histogram)
        # The smallest bin under whose upper edge 99 % of the elements lie.
        index = int(np.searchsorted(cumulated, math.ceil(0.99 * int(cumulated[-1]))))
        if index == 0:  # zero, and the denormals under 2**-134
            return 0.0
        edge = np.array([(index + 1) << _DROPPED_BITS], dtype=np.uint32).view(np.float32)[0]
        return min(float(edge), self.max_abs)

    def summarize(self, output: str) -> OutputParity:
        sqnr_db = -SQNR_DB_LIMIT if self.nonfinite else float(to_db(self.reference_squares, self.error_squares))
        norms = math.sqrt(self.reference_squares) * math.sqrt(self.deployed_squares)
        cosine = 1.0 if self.error_squares == 0.0 else 0.0
        if self.error_squares > 0.0 and norms > 0.0 and math.isfinite(norms):
            cosine = min(max(self.products / norms, -1.0), 1.0)
        return OutputParity(
            output=output,
            max_abs=self.max_abs,
            p99_abs=self._compute_p99_abs(),
            cosine=cosine,
            sqnr_db=sqnr_db,
            nonfinite=self.nonfinite,
        )


def _refuse(what: str, output: str, expected: str, found: str) -> ToolchainError:
    return ToolchainError(
        ExitCode.PARITY,
        what,
        where=f"output {output}",
        expected=expected,
        found=found,
        fix="deploy the model again from its source; if it comes back, report it with the model",
    )


def check_outputs(reference: Mapping[str, NDArray[Any]], deployed: Mapping[str, NDArray[Any]]) -> None:
    """Refuse (exit 18) a missing, extra or renamed output and a changed dtype or shape; nothing is matched by guess."""
    for name in reference:
        if name not in deployed:
            raise _refuse("an output is missing", name, "an output of this name", f"only {', '.join(sorted(deployed))}")
    for name in deployed:
        if name not in reference:
            raise _refuse("there is an extra output", name, f"only {', '.join(sorted(reference))}", "one more")
    for name, array in reference.items():
        found = deployed[name]
        if found.dtype != array.dtype:
            raise _refuse("an output changed its dtype", name, str(array.dtype), str(found.dtype))
        if found.shape != array.shape:
            raise _refuse("an output changed its shape", name, str(array.shape), str(found.shape))


class Parity:
    """Compares batch after batch and keeps running sums, not the batches."""

    def __init__(self) -> None:
        self._sums: Dict[str, _Sums] = {}

    def add(self, reference: Mapping[str, NDArray[Any]], deployed: Mapping[str, NDArray[Any]]) -> None:
        """Compare one batch; raises ToolchainError (exit 18) as check_outputs does."""
        check_outputs(reference, deployed)
        for name, array in reference.items():
            sums = self._sums.setdefault(name, _Sums())
            flat_reference, flat_deployed = array.reshape(-1), deployed[name].reshape(-1)
            for start in range(0, flat_reference.size, CHUNK_ELEMENTS):
                chunk = slice(start, start + CHUNK_ELEMENTS)
                sums.add(flat_reference[chunk], flat_deployed[chunk])

    def summarize(self) -> Tuple[OutputParity, ...]:
        """Return the distance of every output seen so far, in the order of the reference."""
        return tuple(sums.summarize(name) for name, sums in self._sums.items())


def compare(reference: Mapping[str, NDArray[Any]], deployed: Mapping[str, NDArray[Any]]) -> Tuple[OutputParity, ...]:
    """Return the distance of every output of one run; raises ToolchainError (exit 18) as check_outputs does."""
    parity = Parity()
    parity.add(reference, deployed)
    return parity.summarize()
