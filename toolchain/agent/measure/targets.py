"""Targets: what a model should have answered, by name.

In memory a target is an array `(N, ...)`, one row a sample, or Ragged, where samples have different numbers of rows: the
boxes of a picture `(rows, 4)`, the letters of a text as the bytes of its UTF-8. In files, which hold plain arrays alone
(.npy and .npz without pickles), a ragged target NAME is two arrays:

- `NAME.values`: the rows of all samples, one after another, `(rows, ...)`;
- `NAME.offsets`: int64 `(N + 1,)`; sample i has the rows offsets[i] to offsets[i + 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Sequence, Tuple, Union

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from ..manifest import DTYPES

LABELS = "labels"
"""The target of a classifier: class numbers `(N,)`, from 0."""
TEXT = "text"
"""The target and the output of a reader: texts as the bytes of their UTF-8, Ragged."""
_VALUES, _OFFSETS = ".values", ".offsets"


def list_ragged_names(name: str) -> Tuple[str, str]:
    """Return what the two arrays of a ragged target are called."""
    return name + _VALUES, name + _OFFSETS


@dataclass(frozen=True)
class Ragged:
    """Rows `(rows, ...)` of all samples, and where each sample's begin, `(N + 1,)`."""

    values: NDArray[Any]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read(self, index: int) -> NDArray[Any]:
        """Return the rows of a sample."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]


TargetArray = Union[NDArray[Any], Ragged]


def slice_target(target: TargetArray, start: int, stop: int) -> TargetArray:
    """Return the samples start to stop of a target."""
    if not isinstance(target, Ragged):
        return target[start:stop]
    offsets = target.offsets[start : stop + 1]
    return Ragged(values=target.values[offsets[0] : offsets[-1]], offsets=offsets - offsets[0])


def take_target_rows(target: TargetArray, indices: NDArray[np.int64]) -> TargetArray:
    """Return the samples of a target at the indices `(n,)`."""
    if not isinstance(target, Ragged):
        return target[indices]
    rows = [target.read(int(index)) for index in indices]
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Ragged(values=np.concatenate([target.values[:0], *rows]), offsets=offsets)


def join_batches(batches: Sequence[Mapping[str, TargetArray]]) -> Dict[str, TargetArray]:
    """Return the targets of all samples of some batches, each of which has the same ones."""
    return {name: _join_rows([batch[name] for batch in batches]) for name in batches[0]}


def _join_rows(parts: Sequence[TargetArray]) -> TargetArray:
    ragged = [part for part in parts if isinstance(part, Ragged)]
    if not ragged:
        return np.concatenate(parts)  # type: ignore[arg-type]
    lengths = np.concatenate([np.diff(part.offsets) for part in ragged])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Ragged(values=np.concatenate([part.values for part in ragged]), offsets=offsets)


def split_targets(targets: Mapping[str, TargetArray]) -> Dict[str, NDArray[Any]]:
    """Return targets as files hold them: plain arrays, by name."""
    arrays: Dict[str, NDArray[Any]] = {}
    for name, target in targets.items():
        if isinstance(target, Ragged):
            arrays[name + _VALUES], arrays[name + _OFFSETS] = target.values, target.offsets
        else:
            arrays[name] = target
    return arrays


def join_targets(arrays: Mapping[str, NDArray[Any]], samples: int, where: str) -> Dict[str, TargetArray]:
    """Return the targets of so many samples in the arrays of files.

    Raises ToolchainError (exit 23), with the place: another number of samples, offsets that are none, a type that is no
    number.
    """
    targets: Dict[str, TargetArray] = {}
    for name, array in arrays.items():
        dtype = str(array.dtype)
        if dtype not in DTYPES:
            raise _refuse(f"{where}: {name}", f"one of {', '.join(DTYPES)}", dtype)
        base, dot, kind = name.rpartition(".")
        if dot + kind == _OFFSETS and base + _VALUES in arrays:
            continue
        if dot + kind == _VALUES and base + _OFFSETS in arrays:
            offsets = arrays[base + _OFFSETS]
            _check_offsets(offsets, samples, array, f"{where}: {base}{_OFFSETS}")
            targets[base] = Ragged(values=array, offsets=offsets)
            continue
        if array.ndim == 0 or len(array) != samples:
            raise _refuse(f"{where}: {name}", f"{samples} samples along the first axis", f"the shape {array.shape}")
        targets[name] = array
    return targets


def _check_offsets(offsets: NDArray[Any], samples: int, values: NDArray[Any], where: str) -> None:
    if offsets.dtype != np.int64 or offsets.shape != (samples + 1,):
        raise _refuse(where, f"int64 of shape ({samples + 1},)", f"{offsets.dtype} of shape {offsets.shape}")
    rows = len(values) if values.ndim else -1
    if offsets[0] != 0 or offsets[-1] != rows or bool(np.any(offsets[1:] < offsets[:-1])):
        raise _refuse(where, f"numbers that rise from 0 to the {rows} rows of the values", "others")


def _refuse(where: str, expected: str, found: str) -> ToolchainError:
    return ToolchainError(
        ExitCode.MALFORMED,
        "a target is not one for every sample",
        where=where,
        expected=expected,
        found=found,
        fix="write the targets again: one row for each sample, or NAME.values with NAME.offsets",
    )
