"""Says when a module's answer for a sample depends on the samples beside it: proven in batches, it is another one alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.parity import compare
from toolchain.errors import usage

Arrays = Mapping[str, NDArray[Any]]

# Of whole numbers and truth values so many may differ: those on a threshold, where a sum in another order decides.
_DIFFERENT_MAX = 0.01
# Of others so much must be the same. Sums in another order leave 105 dB and more; in a module that is trained for int8 they
# tip single activations over the threshold of their rounding, which moves an output by a part of a step, under 40 dB of it.
_SAME_DB_MIN = 40.0


def check_independent(run: Callable[[Arrays], Arrays], batch: Arrays, together: Arrays) -> None:
    """Run each sample of a batch alone, and compare the answers with what all gave together.

    Each, because a branch that a sum over the batch decides is the same for some of them. Raises ToolchainError (exit 2)
    where the answers are others by more than rounding; a batch of one says nothing.
    """
    count = len(next(iter(batch.values())))
    if count == 1:
        return
    alone = [run({name: array[index : index + 1] for name, array in batch.items()}) for index in range(count)]
    for name, array in together.items():
        found = _find_difference(array, [answers[name] for answers in alone])
        if found is not None:
            raise usage(
                "the model's answer for a sample depends on the samples beside it",
                where=f"output {name}",
                expected=f"the same answer for a sample alone as in a batch of {count}",
                found=found,
                fix="normalize with stored statistics (BatchNorm with track_running_stats, in evaluation mode); let "
                "nothing in forward add up, sort or normalize along the first axis",
            )


def _find_difference(together: NDArray[Any], alone: Sequence[NDArray[Any]]) -> str | None:
    """Return how the answers to samples alone differ from the rows of a batch's; None where it is by rounding."""
    row = together[0]
    other = next((array for array in alone if array.size != row.size or array.dtype != row.dtype), None)
    if other is not None:
        return f"shape {other.shape[1:]} alone, {row.shape} in the batch"
    # squeeze() takes the axis of a single sample away; what is exported does not
    rows = np.stack([array.reshape(row.shape) for array in alone])
    if row.dtype.kind != "f":
        different = int(np.count_nonzero(rows != together))
        return f"{different} of {rows.size} values are others" if different > _DIFFERENT_MAX * rows.size else None
    numbers = ~(np.isnan(rows) & np.isnan(together))  # what is no number is refused later, and said as such
    (distance,) = compare({"": together[numbers]}, {"": rows[numbers]})
    if distance.sqnr_db >= _SAME_DB_MIN and not distance.nonfinite:
        return None
    return f"a difference of {distance.max_abs:g}, {distance.sqnr_db:.1f} dB"
