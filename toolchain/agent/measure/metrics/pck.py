"""PCK: the share of the visible points that are found, near enough for the size of what they lie on.

Near enough is a share alpha of the longer side of the box around the visible points of the sample (Yang and Ramanan 2013).
A NaN is nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..parts import NUMBERS, expect_array, refuse_part
from ..scale import FRACTION
from ..tallies.ratio import Ratio
from ..targets import Ragged, TargetArray
from . import Outputs, Tally, Targets, take_output, take_target

POINTS = "points"
"""The target `(N, points, 3)`, or Ragged with one person a sample at most: x and y in pixels, and whether it is visible
(above 0). The output has x, y and may have more."""

SCALE = FRACTION
OUTPUTS = (POINTS,)
TARGETS = (POINTS,)


@dataclass(frozen=True)
class Options:
    """How near is near enough."""

    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not self.alpha > 0.0:
            message = "alpha above 0"
            raise ValueError(message)


class _Found(Ratio):
    def __init__(self, options: Options) -> None:
        super().__init__("pck", whole="visible point")
        self._alpha = options.alpha

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add points (n, points, 2 or 3) and points (n, points, 3)."""
        where, output = f"targets: {POINTS}", f"the output {POINTS}"
        truth = expect_array("pck", _take_persons(targets, where), where, (None, None, 3), NUMBERS)
        answer = take_output("pck", outputs, POINTS, "heat_maps or points")
        found = expect_array("pck", answer, output, (len(truth), truth.shape[1], None), NUMBERS)
        if found.shape[2] not in (2, 3):
            raise refuse_part("pck", output, expected="x, y and perhaps a score", found=f"{found.shape[2]} numbers")
        visible = truth[..., 2] > 0
        places = truth[..., :2].astype(np.float64)
        if not bool(np.isfinite(places[visible]).all()):
            raise refuse_part("pck", where, expected="finite x and y where visible", found="NaN or infinity")
        seen = visible[..., None]
        high = np.where(seen, places, -np.inf).max(axis=1, initial=-np.inf)
        low = np.where(seen, places, np.inf).min(axis=1, initial=np.inf)
        reach = self._alpha * (high - low).max(axis=1, initial=0.0)
        away = found[..., :2].astype(np.float64) - places
        near = np.sqrt(np.square(away).sum(axis=2)) <= reach[:, None]
        self.add_samples((near & visible).sum(axis=1), visible.sum(axis=1))


def _take_persons(targets: Targets, where: str) -> TargetArray:
    """Return the points as one person a sample; of a sample without anybody, no point is visible."""
    points = take_target("pck", targets, POINTS)
    if not isinstance(points, Ragged) or points.values.ndim != 3:
        return points
    counts = np.diff(points.offsets)
    if bool((counts > 1).any()):
        expected, fix = "one person a sample at most", "cut a picture of each person, or measure oks_map"
        raise refuse_part("pck", where, expected=expected, found=f"{counts.max()} in one", fix=fix)
    persons = np.zeros((len(points), *points.values.shape[1:]), points.values.dtype)
    persons[counts == 1] = points.values
    return persons


def start(options: Options) -> Tally:
    """Return a tally of nothing."""
    return _Found(options)
