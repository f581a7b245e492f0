"""Drift: how far a payload's answers are from those of the model that the user brought.

Parity asks whether a payload computes what was lowered. Drift asks the other question: whether pruning, training and
quantization together left the user's model what it was. Without labels nothing else says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from .metrics import Tally, agreement
from .parity import OutputParity, Parity
from .scores import view_scores
from .variation import Variation, Varying

# Rows of probabilities add up to 1 within the rounding of float16 (11 bits) over some classes.
_SUM_TOLERANCE = 1e-2


@dataclass(frozen=True)
class OutputDrift:
    """The distance of one output from the user's model's, as OutputParity has it.

    agreement: the metric of this name with the user's model's answers, for outputs of shape (N, classes) or
    (N, classes, 1, 1); None for others. is_scores: every row of the user's model is a distribution over classes.
    varying: what of the output differs between samples, and whether that survived.
    """

    output: str
    max_abs: float
    sqnr_db: float
    nonfinite: int
    agreement: Optional[float]
    is_scores: bool
    varying: Varying


def view_rows(array: NDArray[Any]) -> Optional[NDArray[Any]]:
    """Return an output as (N, classes) where it may hold the scores of classes, else None."""
    rows = view_scores(array)
    return rows if rows is not None and rows.shape[1] >= 2 and np.issubdtype(array.dtype, np.floating) else None


class _Answers:
    """Whether the answers are the user's model's, and whether those are distributions over classes."""

    def __init__(self) -> None:
        self.tally: Tally = agreement.start()
        self.samples = 0
        self.is_scores = True

    def add(self, original: NDArray[Any], deployed: NDArray[Any]) -> None:
        self.samples += len(original)
        self.tally.add({"output": deployed}, {agreement.SCORES: original})
        with np.errstate(invalid="ignore"):  # of infinite logits, which are no distribution
            sums = original.sum(axis=1, dtype=np.float64)
            self.is_scores &= bool(np.all(original >= 0) and np.all(np.abs(sums - 1.0) <= _SUM_TOLERANCE))


class Drift:
    """Compares batch after batch with the user's model's outputs and keeps sums and counts, not the batches."""

    def __init__(self, parity: Optional[Parity] = None) -> None:
        """`parity` is one that gets the same batches before this does, where nothing was compressed; None keeps its own."""
        self._answers: Dict[str, _Answers] = {}
        self._variations: Dict[str, Variation] = {}
        self._is_shared = parity is not None
        self._parity = parity or Parity()

    def add(
        self, originals: Mapping[str, NDArray[Any]], deployed: Mapping[str, NDArray[Any]], *, stacked: bool = False
    ) -> None:
        """Compare one batch, or one whole sample where stacked; raises (exit 18) as parity.check_outputs does."""
        if not self._is_shared:
            self._parity.add(originals, deployed)
        for name, array in originals.items():
            # A whole tensor (1, channels, …) has its sample axis already; a state (layers, …) or a vector has none.
            is_sample = stacked and not (array.ndim > 1 and array.shape[0] == 1)
            samples = (array[None], deployed[name][None]) if is_sample else (array, deployed[name])
            self._variations.setdefault(name, Variation()).add(*samples)
            rows, found = view_rows(array), view_rows(deployed[name])
            if rows is not None and found is not None:
                self._answers.setdefault(name, _Answers()).add(rows, found)

    def summarize(self) -> Tuple[OutputDrift, ...]:
        """Return the drift of every output seen so far, in the order of the user's model's."""
        return tuple(self._summarize(parity) for parity in self._parity.summarize())

    def _summarize(self, parity: OutputParity) -> OutputDrift:
        answers = self._answers.get(parity.output)
        return OutputDrift(
            output=parity.output,
            max_abs=parity.max_abs,
            sqnr_db=parity.sqnr_db,
            nonfinite=parity.nonfinite,
            agreement=answers.tally.compute() if answers is not None and answers.samples else None,
            is_scores=answers is not None and answers.is_scores,
            varying=self._variations[parity.output].summarize(),
        )
