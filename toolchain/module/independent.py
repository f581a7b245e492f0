"""Says when a module's answer for a sample depends on the samples beside it: proven in batches, it is another one alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.parity import compare
from toolchain.errors import usage
from toolchain.graph.parity import SQNR_DB_MIN

Arrays = Mapping[str, NDArray[Any]]

# Of whole numbers and truth values so many may differ: those on a threshold, where a sum in another order decides.
_DIFFERENT_MAX = 0.01


def check_independent(run: Callable[[Arrays], Arrays], batch: Arrays, together: Arrays) -> None:
    """Run each sample of a batch alone, and compare the answers with what all gave together.

    Each, because a branch that a sum over the batch decides is the same for some of them. Raises ToolchainError (exit 2)
    where an answer is another one by more than rounding; a batch of one says nothing.
    """
    count = len(next(iter(batch.values())))
    for index in range(count) if count > 1 else ():
        alone = run({name: array[index : index + 1] for name, array in batch.items()})
        for name, array in together.items():
            difference = _find_difference(array, alone[name], index)
            if difference is not None:
                raise usage(
                    "the model's answer for a sample depends on the samples beside it",
                    where=f"output {name}",
                    expected=f"the same answer for sample {index} alone as in a batch of {count}",
                    found=difference,
                    fix="normalize with stored statistics (BatchNorm with track_running_stats, in evaluation mode); let "
                    "nothing in forward add up, sort or normalize along the first axis",
                )


def _find_difference(together: NDArray[Any], alone: NDArray[Any], index: int) -> str | None:
    """Return how a sample's answer alone differs from its row of a batch's; None where it is by rounding."""
    row = together[index]
    if row.size != alone.size or row.dtype != alone.dtype:
        return f"shape {alone.shape[1:]} alone, {row.shape} in the batch"
    alone = alone.reshape(row.shape)  # squeeze() takes the axis of a single sample away; what is exported does not
    limit_db = SQNR_DB_MIN.get(str(row.dtype))
    if limit_db is None:
        different = int(np.count_nonzero(row != alone))
        return f"{different} of {row.size} values are others" if different > _DIFFERENT_MAX * row.size else None
    # In the batch's own place, so that an answer near zero is held against the size that answers have.
    exchanged = together.copy()
    exchanged[index] = np.where(np.isnan(alone) & np.isnan(row), row, alone)
    numbers = ~np.isnan(together)  # what is no number is refused later, and said as such
    (distance,) = compare({"": together[numbers]}, {"": exchanged[numbers]})
    if distance.sqnr_db >= limit_db and not distance.nonfinite:
        return None
    return f"a difference of {distance.max_abs:g}"
