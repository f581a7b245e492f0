"""Metrics and decoders that are a class or a function NAME of a file, which recipes name as FILE.py:NAME.

A class defines what a member's file does. A function is the short form: that of a metric returns a value of each sample, of
which the mean counts; that of a decoder returns the arrays that the file's OUTPUTS name. What else there is to know of it
stands at the top of the file: TARGETS and SCALE of a metric, OUTPUTS of both, READS of a decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from .scale import FRACTION, Scale
from .tallies.ratio import Ratio
from .targets import Ragged, TargetArray

Given = Mapping[str, TargetArray]


class FunctionMetric:
    """The mean over samples of what a function says of each, as a module of metrics/ has it."""

    def __init__(self, name: str, function: Callable[[Given, Given], Any], module: ModuleType) -> None:
        self.SCALE: Scale = getattr(module, "SCALE", FRACTION)
        self.OUTPUTS: Tuple[str, ...] = getattr(module, "OUTPUTS", ())
        self.TARGETS: Tuple[str, ...] = module.TARGETS
        self._name, self._function = name, function

    def start(self) -> FunctionTally:
        """Return a tally of nothing."""
        return FunctionTally(self._name, self._function, self.SCALE)


class FunctionTally(Ratio):
    """Keeps a value of each sample."""

    def __init__(self, name: str, function: Callable[[Given, Given], Any], scale: Scale) -> None:
        super().__init__(name)
        self._function, self._scale = function, scale

    def add(self, outputs: Given, targets: Given) -> None:
        """Add a batch; raises ToolchainError (exit 2) where the function returns no value of the scale for each sample."""
        count = max((len(target) for target in targets.values()), default=0)
        values = self._function(_protect(outputs), _protect(targets))
        if not isinstance(values, np.ndarray) or values.shape != (count,) or values.dtype.kind not in "biuf":
            is_array = isinstance(values, np.ndarray)
            found = (
                f"{values.dtype} of shape {values.shape}" if is_array else f"{type(values).__name__}: {values!r:.60}"
            )
            raise self._refuse(f"an array of {count} numbers, one for each sample", found)
        numbers = values.astype(np.float64)
        low, high = sorted((self._scale.worst, self._scale.best))
        outside = numbers[(numbers < low) | (numbers > high)]
        if outside.size:
            raise self._refuse(f"values from {low:g} to {high:g}, as SCALE says", f"{outside[0]:g}")
        self.add_samples(numbers)

    def _refuse(self, expected: str, found: str) -> ToolchainError:
        what, fix = f"the metric {self._name} returns no value of each sample", f"correct {self._name} in its file"
        return ToolchainError(ExitCode.USAGE, what, where="metric", expected=expected, found=found, fix=fix)


@dataclass(frozen=True)
class NoOptions:
    """A function has none."""


class FunctionDecoder:
    """A function between outputs and metric, as a module of decoders/ has it, and at the same time its decoder."""

    Options = NoOptions

    def __init__(self, function: Callable[[Given, Given], Any], module: ModuleType) -> None:
        self.OUTPUTS: Tuple[str, ...] = module.OUTPUTS
        self._reads: Optional[Tuple[str, ...]] = getattr(module, "READS", None)
        self._function = function

    def start(self, _options: NoOptions) -> FunctionDecoder:
        """Return the decoder."""
        return self

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        """Return the outputs that the file's READS names, all of them where it names none."""
        return outputs if self._reads is None else self._reads

    def decode(self, outputs: Given, inputs: Given) -> Any:
        """Return what the function makes of a batch."""
        return self._function(_protect(outputs), _protect(inputs))


def find_metric_in(module: ModuleType, name: str) -> Any:
    """Return the metric of this name in a file: the file itself where it is one, or the class or function of that name."""
    own = _find_own(module, name)
    return FunctionMetric(name, own, module) if callable(own) and not isinstance(own, type) else own


def find_decoder_in(module: ModuleType, name: str) -> Any:
    """Return the decoder of this name in a file, as find_metric_in does."""
    own = _find_own(module, name)
    return FunctionDecoder(own, module) if callable(own) and not isinstance(own, type) else own


def _find_own(module: ModuleType, name: str) -> Any:
    return module if hasattr(module, "start") else getattr(module, name, module)


def _protect(arrays: Given) -> Dict[str, TargetArray]:
    """Return views that cannot be written to: others read the same arrays afterwards."""
    return {name: _view(array) for name, array in arrays.items()}


def _view(array: TargetArray) -> TargetArray:
    if isinstance(array, Ragged):
        return Ragged(values=_lock(array.values), offsets=_lock(array.offsets))
    return _lock(array)


def _lock(array: NDArray[Any]) -> NDArray[Any]:
    view = np.asarray(array).view()  # a scalar input may come as a number of numpy's, which has no flags
    view.flags.writeable = False
    return view
