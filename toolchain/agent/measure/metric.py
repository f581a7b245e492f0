"""Task metrics, summed batch by batch: what the model is for, as a fraction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError


@dataclass(frozen=True)
class MetricResult:
    """The task metric of a candidate, against that of the user's uncompressed float model; fractions."""

    name: str
    reference: float
    deployed: float
    drop: float
    samples: int


class Metric(Protocol):
    """A task metric over labelled samples."""

    @property
    def samples(self) -> int:
        """How many samples were added."""

    def add(self, output: NDArray[Any], labels: NDArray[Any]) -> None:
        """Add a batch: the model's first output, and the labels (N,)."""

    def compute(self) -> float:
        """Return the metric of all samples added, 0 to 1, higher is better."""


class Top1:
    """The share of samples whose largest score is that of the label."""

    def __init__(self) -> None:
        self.samples = 0
        self._hits = 0

    def add(self, output: NDArray[Any], labels: NDArray[Any]) -> None:
        """Add a batch of scores (N, classes), or (N, classes, 1, 1), and labels (N,); other shapes raise ToolchainError (exit 23)."""
        if output.ndim < 2 or output.shape[0] != len(labels) or output.size != len(labels) * output.shape[1]:
            raise ToolchainError(
                ExitCode.MALFORMED,
                "top1 cannot read the first output",
                expected=f"scores of shape ({len(labels)}, classes)",
                found=str(output.shape),
                fix="put the class scores first among the outputs, or use the metric none",
            )
        scores = output.reshape(len(labels), -1)
        self.samples += len(labels)
        self._hits += int(np.count_nonzero(scores.argmax(axis=1) == labels))

    def compute(self) -> float:
        """Return the accuracy; raises ZeroDivisionError before the first batch."""
        return self._hits / self.samples


_METRICS: Dict[str, Callable[[], Metric]] = {"top1": Top1}


def create_metric(name: str) -> Metric:
    """Return an empty metric of this name; raises ToolchainError (exit 2) for an unknown name."""
    if name not in _METRICS:
        known = ", ".join(sorted(_METRICS))
        raise ToolchainError(ExitCode.USAGE, f"there is no metric {name!r}", "metric", f"one of {known}")
    return _METRICS[name]()
