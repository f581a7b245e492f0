"""Says when a graph's answer for a sample depends on the one beside it: what is proven one at a time is not so of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.parity import compare
from toolchain.errors import ToolchainError
from toolchain.graph.parity import SQNR_DB_MIN

Arrays = Mapping[str, NDArray[Any]]


def find_dependence(run: Callable[[Arrays], Arrays], samples: Sequence[Arrays]) -> tuple[str, float] | None:
    """Return the output whose answers to samples in one batch are the farthest from those to each alone, and their SQNR in dB.

    None where they differ by rounding alone, and where several samples cannot be run at once. Of outputs that have one row
    for each sample, in floating point.
    """
    try:
        together = run({name: np.concatenate([sample[name] for sample in samples]) for name in samples[0]})
    except ToolchainError:
        return None
    alone = [run(sample) for sample in samples]
    found: list[tuple[str, float]] = []
    for name, array in together.items():
        rows = [answer[name] for answer in alone]
        limit_db = SQNR_DB_MIN.get(str(array.dtype))
        has_rows = array.ndim > 0 and all(row.shape == (1, *array.shape[1:]) for row in rows)
        if limit_db is None or not has_rows or len(array) != len(rows):
            continue
        one_by_one = np.concatenate(rows)
        numbers = ~(np.isnan(array) & np.isnan(one_by_one))  # what is no number is refused, and said as such
        (distance,) = compare({name: one_by_one[numbers]}, {name: array[numbers]})
        if distance.sqnr_db < limit_db:
            found.append((name, distance.sqnr_db))
    return min(found, key=lambda pair: pair[1], default=None)
