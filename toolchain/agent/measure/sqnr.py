"""What is measured when two outputs are compared, and what is not: the one rule for infinities, NaN and decibels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Tuple

import numpy as np
from numpy.typing import NDArray

# A ratio of exactly nothing is infinite, which JSON cannot say. float64 sums end near 16 digits = 320 dB; float32
# outputs that are not equal stay under 160 dB.
SQNR_DB_LIMIT = 200.0

# Elements per step, so that float64 copies of a large output stay at some megabytes.
CHUNK_ELEMENTS = 1 << 18

# A mask written as a number (torch.finfo(torch.float32).min, -3.4e38): the square of one such value is more than all
# others of an output, and would hide any error in them.
_FILL_MIN = 1e30


def keep_measured(
    reference: NDArray[Any], deployed: NDArray[Any]
) -> Tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Return the elements (K,) that are measured, of two flat arrays (N,), and how many others do not match.

    Equal infinities are equal, and nothing is measured there: masked logits are -inf on purpose. A number of 1e30 or
    more that is the same on both sides is such a mask too. A place where one side is finite and the other is not, where
    the infinities differ, or where either is NaN does not match.
    """
    reference, deployed = reference.astype(np.float64), deployed.astype(np.float64)
    finite = np.isfinite(reference) & np.isfinite(deployed)
    same_mask = _find_same_masks(reference, deployed)
    mismatches = int(np.count_nonzero(~finite & ~same_mask))
    measured = finite & ~same_mask
    if measured.all():
        return reference, deployed, mismatches
    return reference[measured], deployed[measured], mismatches


def find_measured(reference: NDArray[Any], deployed: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where two float arrays of one shape are measured, by the rule of keep_measured."""
    measured: NDArray[np.bool_] = np.isfinite(reference) & np.isfinite(deployed)
    return measured & ~_find_same_masks(reference, deployed)


def _find_same_masks(reference: NDArray[Any], deployed: NDArray[Any]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (reference == deployed) & (np.abs(reference) >= _FILL_MIN)
    return same


@dataclass(frozen=True)
class Powers:
    """Sums over one output of one run: of the reference's squares and of the error's, and the places without a match."""

    signal: float
    noise: float
    mismatches: int


def measure_powers(reference: NDArray[Any], deployed: NDArray[Any]) -> Powers:
    """Return the powers of one output of one run, both sides of the same shape; infinite noise where places mismatch."""
    signal, noise, mismatches = 0.0, 0.0, 0
    flat_reference, flat_deployed = reference.reshape(-1), deployed.reshape(-1)
    for start in range(0, flat_reference.size, CHUNK_ELEMENTS):
        chunk = slice(start, start + CHUNK_ELEMENTS)
        expected, found, missed = keep_measured(flat_reference[chunk], flat_deployed[chunk])
        with np.errstate(over="ignore", invalid="ignore"):  # float64 outputs near 1e308; to_db() expects infinities
            error = found - expected
            signal += float(np.dot(expected, expected))
            noise += float(np.dot(error, error))
        mismatches += missed
    return Powers(signal=signal, noise=float("inf") if mismatches else noise, mismatches=mismatches)


def to_db(signal: Any, noise: Any) -> Any:
    """Return 10 log10(signal / noise) within ±200 dB, of numbers or arrays: 200 without noise, -200 where it is infinite."""
    signal, noise = np.asarray(signal, dtype=np.float64), np.asarray(noise, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio_db = 10.0 * np.log10(signal / noise)
    bounded = np.clip(np.nan_to_num(ratio_db, nan=-SQNR_DB_LIMIT), -SQNR_DB_LIMIT, SQNR_DB_LIMIT)
    return np.where(noise == 0.0, SQNR_DB_LIMIT, np.where(np.isfinite(noise), bounded, -SQNR_DB_LIMIT))
