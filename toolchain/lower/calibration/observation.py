"""What calibration remembers of one tensor: its bounds, and a histogram that grows with them."""

from __future__ import annotations

import math
from array import array
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Bins on each side of zero. The largest magnitude lies in the upper half of them, so that at least 2048 cover it:
# as many as ONNX Runtime's percentile and TensorRT's entropy calibration use.
BINS_PER_SIDE = 4096
# 2^-100 and all below it is zero to any quantizer; the inverse of its bin width still fits float32.
_EXPONENT_MIN = -100


class Observation:
    """Bounds and, where `counting`, the histogram of all values of one tensor, in one pass, in memory that grows by 4 bytes a batch.

    Bins are [i, i + 1) · width for i from -BINS_PER_SIDE to BINS_PER_SIDE - 1. The width is a power of two, the
    smallest that holds the largest magnitude seen: when a larger one comes, pairs of bins merge. Scaling by a power
    of two and merging are exact, so that the result is the same, bit for bit, for any order and batching of the values.
    """

    def __init__(self, *, counting: bool) -> None:
        self.low = math.inf
        self.high = -math.inf
        self.exponent = _EXPONENT_MIN
        self.peaks = array("f")
        """The largest magnitude of each batch, in their order: 4 bytes each, all that grows with the data."""
        self.infinite_in: int | None = None
        """The first batch in which a value was infinite; None where all were finite."""
        self._rows = np.zeros((2, 2 * BINS_PER_SIDE), dtype=np.int64) if counting else None
        self._lock = Lock()

    @property
    def width(self) -> float:
        """The width of a bin, in the tensor's unit."""
        return math.ldexp(1.0, self.exponent) / BINS_PER_SIDE

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many values lie in each bin, shape (2 · BINS_PER_SIDE,); the bin that starts at 0 is BINS_PER_SIDE."""
        if self._rows is None:
            raise ValueError("this observation keeps bounds only")
        total: NDArray[np.int64] = self._rows.sum(axis=0)
        return total

    def add(self, values: NDArray[Any], *, batch: int = 0) -> bool:
        """Count the finite values, of any shape and float type; return False, and count nothing, when one is NaN.

        Infinities, as a mask has them, are in neither bounds nor histogram; `infinite_in` keeps that there were some.
        """
        flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
        if flat.size == 0:
            return True
        low, high = float(flat.min()), float(flat.max())  # a NaN anywhere is in both
        if math.isnan(low):
            return False
        infinite = math.isinf(low) or math.isinf(high)
        if infinite:
            flat = flat[np.isfinite(flat)]
            low, high = float(flat.min(initial=math.inf)), float(flat.max(initial=-math.inf))
        with self._lock:
            if infinite:
                self.infinite_in = batch if self.infinite_in is None else min(batch, self.infinite_in)
            if flat.size == 0:
                return True
            self.low = min(self.low, low)
            self.high = max(self.high, high)
            self.peaks.extend([0.0] * (batch + 1 - len(self.peaks)))
            self.peaks[batch] = max(self.peaks[batch], -low, high)
            if self._rows is not None:
                # Here, so that bounds alone need no compiled loop.
                from toolchain.lower.calibration.counting import count_values

                self._widen(max(-low, high))
                count_values(flat, self._rows, np.float32(1.0 / self.width))
        return True

    def _widen(self, magnitude: float) -> None:
        """Merge bins until they hold a magnitude."""
        exponent = math.frexp(magnitude)[1]  # magnitude < 2^exponent
        if self._rows is None or magnitude == 0.0 or exponent <= self.exponent:
            return
        # All bins of one side merge into one at most: the one next to zero.
        merged = min(2 ** (exponent - self.exponent), BINS_PER_SIDE)
        kept = BINS_PER_SIDE // merged
        sums = self._rows.reshape(2, 2 * kept, merged).sum(axis=2)
        self._rows[:] = 0
        self._rows[:, BINS_PER_SIDE - kept : BINS_PER_SIDE + kept] = sums
        self.exponent = exponent
