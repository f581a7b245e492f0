"""A metric as somebody else wrote it, held to what the protocol promises (metrics/__init__.py)."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from .guard import guard_call
from .options import read_options

if TYPE_CHECKING:
    from .metrics import Metric, Outputs, Tally, Targets


class CheckedMetric:
    """A metric whose tallies end in a number of its scale or in a ToolchainError, whoever wrote it."""

    def __init__(self, name: str, metric: Metric, options: Optional[Mapping[str, object]] = None) -> None:
        """Take the metric's options; raises ToolchainError (exit 2) for those that it does not take."""
        self.SCALE, self.OUTPUTS, self.TARGETS = metric.SCALE, metric.OUTPUTS, metric.TARGETS
        self.OPTIONAL_TARGETS: Tuple[str, ...] = getattr(metric, "OPTIONAL_TARGETS", ())
        self._name, self._metric, self._given = name, metric, options
        if options is not None:
            self._read_options()

    def _read_options(self) -> Any:
        kind = getattr(self._metric, "Options", None)
        with guard_call("metric", self._name):
            return read_options(kind, self._given or {}, member=f"the metric {self._name}", where="metric options")

    def start(self) -> CheckedTally:
        """Return a tally of nothing; raises ToolchainError (exit 2) where an option is lacking."""
        options = self._read_options()
        start: Any = self._metric.start
        with guard_call("metric", self._name):
            tally = start() if options is None else start(options)
        return CheckedTally(self._name, self.SCALE, tally)


class CheckedTally:
    """A tally that counts its samples."""

    def __init__(self, name: str, scale: Any, tally: Tally) -> None:
        self._name, self._scale, self._tally = name, scale, tally
        self.samples = 0

    @property
    def can_resample(self) -> bool:
        """Whether compute() takes counts; metrics from outside of before may not."""
        try:
            inspect.signature(self._tally.compute).bind(None)
        except (TypeError, ValueError):
            return False
        return True

    def add(self, outputs: Outputs, targets: Targets) -> None:
        """Add a batch; raises ToolchainError (exit 23) where the metric breaks."""
        try:
            with guard_call("metric", self._name):
                self._tally.add(outputs, targets)
            self.samples += max((len(target) for target in targets.values()), default=0)
        except ToolchainError:
            raise
        except Exception as error:
            raise self._explain(error, ", ".join((*outputs, *targets))) from error

    def compute(self, counts: Optional[NDArray[np.int64]] = None) -> float:
        """Return the metric; raises ToolchainError (exit 24) where it is no number of its scale."""
        try:
            with guard_call("metric", self._name):
                value = self._tally.compute() if counts is None else self._tally.compute(counts)
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

    def compute_by_class(self) -> Dict[int, float]:
        """Return the metric of each class, by its number; nothing where the metric has none, or a value is no number."""
        compute: Any = getattr(self._tally, "compute_by_class", None)
        if compute is None:
            return {}
        try:
            with guard_call("metric", self._name):
                values = compute()
            return {int(number): float(value) for number, value in values.items() if math.isfinite(value)}
        except ToolchainError:
            raise
        except Exception as error:
            raise self._explain(error, "each class") from error

    def _explain(self, error: Exception, given: str) -> ToolchainError:
        found = f"{type(error).__name__}: {error}"
        what, fix = f"the metric {self._name} breaks", f"correct {self._name}.py, or the data"
        return ToolchainError(
            ExitCode.MALFORMED, what, where="metric", expected=f"a value of {given}", found=found, fix=fix
        )
