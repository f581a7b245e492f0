"""MSE: the range whose 8-bit quantizer reproduces the values with the least mean squared error."""

from __future__ import annotations

import numpy as np

from toolchain.lower.calibration.observation import BINS_PER_SIDE, Observation
from toolchain.lower.calibration.range_search import Distribution, Floats, search_range
from toolchain.lower.ranges import TensorRange

COUNTS = True


def choose_range(observation: Observation, *, symmetric: bool) -> TensorRange:
    """Return the range of least squared error, from clipping and rounding together."""
    return search_range(observation, squared_errors, symmetric=symmetric)


def squared_errors(distribution: Distribution, lows: Floats, highs: Floats) -> Floats:
    """Return the squared error of the affine quantizer of each range, summed over the histogram.

    The values of a bin stand at its middle. All that round to one level r cost sum(x² - 2 r x + r²), which running
    sums of 1, x and x² give without a loop over bins.
    """
    bins = distribution.counts.size
    values = (np.arange(bins) - BINS_PER_SIDE + 0.5) * distribution.width
    moments = [np.concatenate(([0.0], np.cumsum(distribution.counts * values**power))) for power in range(3)]
    steps = (highs - lows) / (distribution.levels - 1)
    steps = np.where(steps > 0.0, steps, 1.0)[:, None]
    zero_points = np.rint(-lows[:, None] / steps)
    levels = (np.arange(distribution.levels) - zero_points) * steps
    borders = np.clip(np.rint((levels[:, :-1] + steps / 2) / distribution.width) + BINS_PER_SIDE, 0, bins)
    borders = np.pad(borders, ((0, 0), (1, 1)), constant_values=((0, 0), (0, bins))).astype(np.intp)
    zeroth, first, second = (np.diff(moment[borders], axis=1) for moment in moments)
    errors: Floats = (second - 2.0 * levels * first + levels**2 * zeroth).sum(axis=1)
    return errors
