"""What an application gives, held against what the payload takes, and what it gets of a batch."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode
from ..manifest import TensorSpec
from ..measure.targets import Ragged, TargetArray
from .errors import FrameError

Frame = Union[NDArray[Any], Mapping[str, NDArray[Any]]]
Answers = Dict[str, Any]


class FrameReader:
    """Makes the feeds of a run of frames: nothing is converted, because what was proven is what the payload is fed."""

    def __init__(self, inputs: Sequence[TensorSpec], *, stacked: bool) -> None:
        """Look at the inputs; where `stacked`, their first axis is no batch axis."""
        self._inputs = tuple(inputs)
        self._dtypes = {spec.name: np.dtype(spec.dtype) for spec in inputs}
        self._has_batch = not stacked
        only = self._inputs[0]
        self._name, self._dtype = only.name, self._dtypes[only.name]
        self._is_one, self._rank, self._row = len(self._inputs) == 1, len(only.shape), only.shape[1:]
        self._is_plain = self._has_batch and bool(only.shape) and only.shape[0] is None and None not in self._row

    def read(self, frame: Frame) -> Tuple[Mapping[str, NDArray[Any]], bool]:
        """Return the feeds, and whether the frame was one sample without a batch axis; raises FrameError."""
        if self._is_one and self._is_plain and type(frame) is np.ndarray and frame.dtype == self._dtype:
            shape = frame.shape
            if shape == self._row:
                return {self._name: frame[np.newaxis]}, True
            if len(shape) == self._rank and shape[1:] == self._row and shape[0]:
                return {self._name: frame}, False
        return self._read_slowly(frame)

    def _read_slowly(self, frame: Frame) -> Tuple[Mapping[str, NDArray[Any]], bool]:
        arrays = self._name_arrays(frame)
        single = {spec.name: self._check(spec, arrays[spec.name]) for spec in self._inputs}
        if len(set(single.values())) > 1:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise _refuse("some inputs have a batch axis and some have none", "inputs", "all or none", shapes)
        is_single = all(single.values())
        if is_single:
            return {name: array[np.newaxis] for name, array in arrays.items()}, True
        if self._has_batch:
            self._check_batches(arrays)
        return arrays, False

    def _name_arrays(self, frame: Frame) -> Dict[str, NDArray[Any]]:
        names = [spec.name for spec in self._inputs]
        if isinstance(frame, Mapping):
            if set(frame) != set(names):
                raise _refuse(
                    "a frame has other inputs than the payload", "inputs", ", ".join(names), ", ".join(map(str, frame))
                )
            arrays = {name: frame[name] for name in names}
        elif self._is_one:
            arrays = {names[0]: frame}
        else:
            expected = f"a mapping with an array for each of {', '.join(names)}"
            raise _refuse("the payload has several inputs", "inputs", expected, type(frame).__name__)
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise _refuse("a frame is no array", name, "a numpy.ndarray", type(array).__name__)
        return arrays

    def _check(self, spec: TensorSpec, array: NDArray[Any]) -> bool:
        """Return whether an array is one sample without a batch axis."""
        if array.dtype != self._dtypes[spec.name]:
            raise _refuse("a frame has another type than the payload takes", spec.name, spec.dtype, str(array.dtype))
        if spec.takes(array.shape):
            return False
        is_batched = self._has_batch and spec.shape and spec.shape[0] in (None, 1)
        if is_batched and spec.takes((1, *array.shape)):
            return True
        expected = _write_shape(spec.shape) + (f", or {_write_shape(spec.shape[1:])}" if is_batched else "")
        raise _refuse("a frame has another size than the payload takes", spec.name, expected, str(array.shape))

    def _check_batches(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        counts = {name: len(array) for name, array in arrays.items() if array.ndim}
        if len(set(counts.values())) > 1 or 0 in counts.values():
            found = ", ".join(f"{name}: {count}" for name, count in counts.items())
            raise _refuse("a frame is no batch", "inputs", "one number of samples, 1 or more", found)


def take_sample(arrays: Mapping[str, TargetArray]) -> Answers:
    """Return what is of the only sample of a batch."""
    return {name: array.read(0) if isinstance(array, Ragged) else array[0] for name, array in arrays.items()}


def take_batch(arrays: Mapping[str, TargetArray]) -> Answers:
    """Return what is of a batch: arrays (n, ...), and a list of n arrays where samples have different numbers of rows."""
    return {name: _list_rows(array) if isinstance(array, Ragged) else array for name, array in arrays.items()}


def _list_rows(ragged: Ragged) -> List[NDArray[Any]]:
    return [ragged.read(index) for index in range(len(ragged))]


def _write_shape(shape: Sequence[object]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _refuse(what: str, where: str, expected: str, found: str) -> FrameError:
    fix = "give what the model was proven with: `model.inputs` says it; nothing is converted silently"
    return FrameError(ExitCode.USAGE, what, where=where, expected=expected, found=found, fix=fix)
