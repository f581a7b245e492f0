"""Outliers: single samples that make a range wide, and int8 coarse for all the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from toolchain.data.proof import OUTLIER_RATIO
from toolchain.lower.calibration.observation import Observation
from toolchain.lower.ranges import TensorRange


@dataclass(frozen=True)
class Outlier:
    """The sample that set the range of a tensor, far from what the others need."""

    tensor: str
    sample: int
    """Its number among the batches that calibrated."""
    magnitude: float
    times: float
    """How many times what half of the samples stay within."""


def find_outliers(observations: Mapping[str, Observation], ranges: Mapping[str, TensorRange]) -> tuple[Outlier, ...]:
    """Return the outliers that the ranges have room for; what a method clipped costs the others nothing."""
    found = []
    for name, observation in observations.items():
        peaks = np.frombuffer(observation.peaks, dtype=np.float32)
        usual = float(np.median(peaks)) if len(peaks) else 0.0
        reach = max(-ranges[name].low, ranges[name].high)
        if usual > 0 and reach >= OUTLIER_RATIO * usual:
            sample = int(peaks.argmax())
            magnitude = float(peaks[sample])
            found.append(Outlier(tensor=name, sample=sample, magnitude=magnitude, times=magnitude / usual))
    return tuple(found)
