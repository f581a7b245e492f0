"""A metric as somebody else wrote it, held to what the protocol promises (metrics/__init__.py)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ExitCode, ToolchainError

if TYPE_CHECKING:
    from .metrics import Metric, Outputs, Tally, Targets


class CheckedMetric:
    """A metric whose tallies end in a number of its scale or in a ToolchainError, whoever wrote it."""

    def __init__(self, name: str, metric: Metric) -> None:
        self.SCALE, self.OUTPUTS, self.TARGETS = metric.SCALE, metric.OUTPUTS, metric.TARGETS
        self._name, self._metric = name, metric

    def start(self) -> Tally:
        """Return a tally of nothing."""
        return _CheckedTally(self._name, self._metric)


class _CheckedTally:
    def __init__(self, name: str, metric: Metric) -> None:
        self._name, self._scale = name, metric.SCALE
        self._tally = metric.start()

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add a batch; raises ToolchainError (exit 23) where the metric breaks."""
        try:
            self._tally.add(outputs, targets)
        except ToolchainError:
            raise
        except Exception as error:
            raise self._explain(error, ", ".join((*outputs, *targets))) from error

    def compute(self) -> float:
        """Return the metric; raises ToolchainError (exit 24) where it is no number of its scale."""
        try:
            value = self._tally.compute()
        except ToolchainError:
            raise
        except Exception as error:
            raise self._explain(error, "what was added") from error
        is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not self._scale.contains(value):
            low, high = sorted((self._scale.worst, self._scale.best))
            expected = f"a finite number, {low:g} to {high:g}"
            what, fix = f"{self._name} is no value of its scale", "look at the outputs, the targets and the metric"
            raise ToolchainError(
                ExitCode.METRIC, what, where="metric", expected=expected, found=repr(value)[:80], fix=fix
            )
        return float(value)

    def _explain(self, error: Exception, given: str) -> ToolchainError:
        found = f"{type(error).__name__}: {error}"
        what, fix = f"the metric {self._name} breaks", f"correct {self._name}.py, or the data"
        return ToolchainError(
            ExitCode.MALFORMED, what, where="metric", expected=f"a value of {given}", found=found, fix=fix
        )
