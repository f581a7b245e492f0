"""Entropy: the range that changes the distribution of the values least, by Kullback-Leibler divergence.

After Migacz, "8-bit inference with TensorRT" (GTC 2017), as ONNX Runtime's Entropy calibration, with three differences:

- P and Q are compared in cells, two to a level for every range. In bins of the histogram, a wider level has more of
  them, and any structure finer than a level (a constant background) would make narrow ranges look better.
- Atoms, single bins far above their surroundings (the zeros of ReLU, the 6 of ReLU6), are taken out: a quantizer maps
  an atom to one level and does not spread it. Outside of the range, where they are clipped, they count.
- Both bounds are searched, with 256 levels, where the range is not symmetric. A symmetric one has 128 for magnitudes.
"""

from __future__ import annotations

import numpy as np

from toolchain.lower.calibration.observation import BINS_PER_SIDE, Observation
from toolchain.lower.calibration.range_search import Distribution, Floats, search_range
from toolchain.lower.ranges import TensorRange

COUNTS = True

# A bin is an atom when it holds more than twice the median of its window, 16 bins (about a level of the full range), and
# more than 1e-5 of all values: in a thin tail the median is 0. With 4 times, what is left of the constant background
# outweighs the rest of ResNet-18's first layer, and two of eight draws of Fashion-MNIST lose 6 dB.
_ATOM_WINDOW = 16
_ATOM_RATIO = 2.0
_ATOM_SHARE = 1e-5
# What a level that holds no value counts as, so that clipping onto it costs much and not infinitely much.
_EMPTY_LEVEL = 1e-3


def choose_range(observation: Observation, *, symmetric: bool) -> TensorRange:
    """Return the range of least divergence."""
    return search_range(observation, divergences, symmetric=symmetric)


def divergences(distribution: Distribution, lows: Floats, highs: Floats) -> Floats:
    """Return the divergence of the values, clipped to each range, from what its levels make of them.

    P, the reference, is the mass in each cell; what lies outside of the range counts in the outermost cells. Q is the
    mass inside, spread over a level's cells, those that hold anything. With p, q not normalized and T, M their sums:
    KL(P || Q) = sum(p log p) / T - sum(p log q) / T - log T + log M.
    """
    counts, width = distribution.counts, distribution.width
    smooth = _remove_atoms(counts)
    cells = 2 * distribution.levels
    shares = np.arange(cells + 1) / cells
    inside = np.diff(_cumulate(smooth, (lows[:, None] + (highs - lows)[:, None] * shares) / width), axis=1)
    masses = np.concatenate(([0.0], np.cumsum(counts)))
    reference = inside.copy()
    reference[:, 0] += masses[np.floor(lows / width).astype(np.intp) + BINS_PER_SIDE]
    reference[:, -1] += masses[-1] - masses[np.floor(highs / width).astype(np.intp) + BINS_PER_SIDE + 1]

    occupied = np.maximum(_join_cells((reference > 0.0).astype(np.float64)), 1.0)
    spread = np.maximum(_join_cells(inside), _EMPTY_LEVEL) / occupied
    cross = (_join_cells(reference) * np.log(spread)).sum(axis=1)
    own = (reference * np.log(np.where(reference > 0.0, reference, 1.0))).sum(axis=1)
    total, kept = reference.sum(axis=1), inside.sum(axis=1)
    possible = kept > 0.0
    safe_total, safe_kept = np.where(possible, total, 1.0), np.where(possible, kept, 1.0)
    result: Floats = (own - cross) / safe_total - np.log(safe_total) + np.log(safe_kept)
    return np.where(possible, result, np.inf)


def _join_cells(cells: Floats) -> Floats:
    """Return the sums over each level's two cells: (M, levels) of (M, 2 · levels)."""
    joined: Floats = cells[:, 0::2] + cells[:, 1::2]
    return joined


def _remove_atoms(counts: Floats) -> Floats:
    """Return the counts with every atom lowered to what is no atom."""
    windows = counts.reshape(-1, _ATOM_WINDOW)
    usual = _ATOM_RATIO * np.median(windows, axis=1, keepdims=True)
    lowered: Floats = np.minimum(windows, np.maximum(usual, _ATOM_SHARE * counts.sum())).reshape(-1)
    return lowered


def _cumulate(counts: Floats, positions: Floats) -> Floats:
    """Return the mass below each position (in bins from zero), linear inside a bin."""
    positions = positions + BINS_PER_SIDE
    bins = np.clip(positions.astype(np.intp), 0, counts.size - 1)
    masses = np.concatenate(([0.0], np.cumsum(counts)))
    below: Floats = masses[bins] + (positions - bins) * counts[bins]
    return below
