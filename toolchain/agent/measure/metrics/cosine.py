"""Cosine: how far the first output points where the target does, averaged over samples; 1 is the same direction.

torch's cosine_similarity. A NaN points the other way, and so does a vector of length 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..parts import NUMBERS, describe_rows, expect_array, refuse_part
from ..scale import Scale
from ..tallies.ratio import Ratio
from . import Outputs, Tally, Targets, take_first, take_target

EMBEDDINGS = "embeddings"
"""The target: vectors `(N, length)`, such as those of the float model."""

SCALE = Scale(unit="", worst=-1.0, best=1.0)
OUTPUTS = ()
TARGETS = (EMBEDDINGS,)


class _Cosines(Ratio):
    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add vectors (n, length) and vectors (n, length)."""
        where = f"targets: {EMBEDDINGS}"
        wanted = expect_array("cosine", take_target("cosine", targets, EMBEDDINGS), where, (None, None), NUMBERS)
        found = expect_array("cosine", take_first("cosine", outputs), "the first output", wanted.shape, NUMBERS)
        if not bool((np.isfinite(wanted).all(axis=1) & wanted.any(axis=1)).all()):
            raise refuse_part("cosine", where, expected="finite vectors with a direction", found=describe_rows(wanted))
        # Of length 1 in their largest element, so that no square overflows.
        vectors = [_scale(array.astype(np.float64)) for array in (found, wanted)]
        products = (vectors[0] * vectors[1]).sum(axis=1)
        squares = np.square(vectors[0]).sum(axis=1) * np.square(vectors[1]).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosines = np.clip(products / np.sqrt(squares), -1.0, 1.0)
        self.add_samples(np.where(np.isfinite(cosines), cosines, -1.0))


def _scale(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled: NDArray[np.float64] = vectors / np.abs(vectors).max(axis=1, initial=0.0)[:, None]
    return scaled


def start() -> Tally:
    """Return a tally of nothing."""
    return _Cosines("cosine")
