"""What an output says of its samples: the part of it that varies, beside what is the same for all of them.

An output of 1000 ± 1 is answered by the constant 1000 with 60 dB. A payload whose error is as large as the variation tells
no sample from another, whatever its SQNR: what chance is to scores, the constant is to every other output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from numpy.typing import NDArray

from .sqnr import find_measured, to_db

# Variation and errors under this share of a channel's largest value (-120 dB) are what the order of float32 sums changes:
# payloads in float32 are no nearer to PyTorch (gates/parity.py). Integers do not round.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Varying:
    """varying_db = 10 log10(sum of squares around each channel's mean / sum(error²)), within ±200 dB.

    channels: along axis 1 of an output (N, channels, …), one of an output (N,). constant: those that are the same in all
    samples, so that nothing is proven of them. lost: those whose error is as large as their variation. varying_db is
    None where every channel is constant.
    """

    varying_db: Optional[float]
    channels: int
    constant: int
    lost: int


class Variation:
    """Sums over the samples of one output, by channel: small, whatever the output's size."""

    def __init__(self) -> None:
        self._count: NDArray[np.float64] = np.zeros(0)
        self._sum = self._squares = self._noise = self._peak = self._count
        self._origin: NDArray[np.float64] = np.zeros(0)
        self._rounding = 0.0

    def add(self, reference: NDArray[Any], deployed: NDArray[Any]) -> None:
        """Add a batch, both (N, channels, …) or (N,), of one shape; what is no number or a mask is left out."""
        if reference.size == 0:
            return
        self._rounding = _ROUNDING if np.issubdtype(reference.dtype, np.floating) else 0.0
        channels = reference.shape[1] if reference.ndim > 1 else 1
        expected = reference.astype(np.float64).reshape(len(reference), channels, -1)
        found = deployed.astype(np.float64).reshape(expected.shape)
        measured = find_measured(expected, found)
        expected, found = np.where(measured, expected, 0.0), np.where(measured, found, 0.0)
        if not self._count.size:
            self._count = self._sum = self._squares = self._noise = self._peak = np.zeros(channels)
            # Squares around the first batch's mean, so that float64 keeps a small variation of large values.
            self._origin = expected.sum(axis=(0, 2)) / np.maximum(measured.sum(axis=(0, 2)), 1)
        with np.errstate(over="ignore", invalid="ignore"):
            shifted = np.where(measured, expected - self._origin[:, None], 0.0)
            self._count = self._count + measured.sum(axis=(0, 2))
            self._sum = self._sum + shifted.sum(axis=(0, 2))
            self._squares = self._squares + np.square(shifted).sum(axis=(0, 2))
            self._noise = self._noise + np.square(found - expected).sum(axis=(0, 2))
            self._peak = np.maximum(self._peak, np.abs(expected).max(axis=(0, 2)))

    def summarize(self) -> Varying:
        """Return what varies of all that was added."""
        count = np.maximum(self._count, 1)
        floor = count * np.square(self._peak * self._rounding)
        varying = np.maximum(self._squares - np.square(self._sum) / count, 0.0)
        noise = np.where(self._noise > floor, self._noise, 0.0)
        is_constant = ~(varying > floor)
        is_lost = ~is_constant & ~(noise < varying)
        varies = not is_constant.all()
        return Varying(
            varying_db=float(to_db(varying[~is_constant].sum(), noise[~is_constant].sum())) if varies else None,
            channels=int(count.size),
            constant=int(np.count_nonzero(is_constant)),
            lost=int(np.count_nonzero(is_lost)),
        )
