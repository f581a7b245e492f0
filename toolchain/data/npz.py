"""Arrays in an .npz file: one per graph input, the first axis is the samples; and targets, such as "labels".

A ragged target NAME is the two arrays NAME.values and NAME.offsets (agent/measure/targets.py). An array "text" of strings is
no input: it has what the tokens of each sample were made of, for [input] to be held against (data/texts.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.targets import LABELS, TargetArray, join_targets, list_ragged_names
from toolchain.data.dataset import Dataset, Samples, hash_files
from toolchain.data.labels import read_labels
from toolchain.data.subset import HALVED_MIN, halve_samples
from toolchain.errors import ToolchainError, usage
from toolchain.project.data_path import DataPath
from toolchain.project.npz_file import open_arrays
from toolchain.project.stored_rows import StoredRows
from toolchain.project.toml_file import Section, check_table


class Options(Section):
    """Where the arrays are."""

    path: DataPath
    evaluation: DataPath | None = None
    """Another file for the evaluation, and then what the first one holds can be trained on, if it has targets; None
    evaluates on the arrays that also calibrate, and trains on none."""
    targets: list[str] | None = None
    """The names of those that are no inputs; None is "labels", where there are some."""
    split: bool = False
    """Calibrate with one half of the samples and evaluate on the other, where there are 16 or more."""


TEXT = "text"
"""The array of strings that tokens were made of."""

Rows = NDArray[Any] | StoredRows
"""An array whose first axis is the samples."""

_NUMBER_BYTES_MAX = 8

# Looked at together.
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class ArraySamples:
    """Arrays as they are in the file; large ones stay there."""

    arrays: Mapping[str, Rows]
    """One per model input, `(N, …)`."""
    targets: Mapping[str, TargetArray]
    sha256: str
    texts: Rows | None = None
    """Strings `(N,)`, what tokens were made of."""

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def read_text(self) -> Callable[[int], str] | None:
        """What returns the text of a sample; None where the file has none."""
        texts = self.texts
        return None if texts is None else lambda index: str(texts[index : index + 1][0])

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the rows start to stop of every array."""
        return {name: array[start:stop] for name, array in self.arrays.items()}

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the rows at the indices `(n,)` of every array."""
        return {name: array[indices] for name, array in self.arrays.items()}


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the arrays of one file, or of one for calibration and one for evaluation."""
    chosen = check_table(Options, options, what="the options of npz", where="data.options")
    calibration = _load_samples(Path(chosen.path), chosen.targets)
    if chosen.evaluation is None:
        return _use_one_file(calibration, split=chosen.split)
    if chosen.split:
        raise usage(
            "there is another file to evaluate on",
            where="data.options.split",
            expected="split or evaluation",
            found="both",
            fix="remove one of them",
        )
    evaluation = _load_samples(Path(chosen.evaluation), chosen.targets)
    if evaluation.arrays.keys() != calibration.arrays.keys():
        raise usage(
            "the two files hold different inputs",
            where=chosen.evaluation,
            expected=", ".join(sorted(calibration.arrays)),
            found=", ".join(sorted(evaluation.arrays)),
            fix="give both files one array per graph input, under the same names",
        )
    # The order of one file holds for both.
    evaluation = replace(evaluation, arrays={name: evaluation.arrays[name] for name in calibration.arrays})
    return _make_dataset(calibration, evaluation, train=calibration if calibration.targets else None)


def _use_one_file(samples: ArraySamples, *, split: bool) -> Dataset:
    if split and len(samples) >= HALVED_MIN:
        return _make_dataset(*halve_samples(samples))
    return _make_dataset(samples, samples)


def _make_dataset(calibration: Samples, evaluation: Samples, *, train: ArraySamples | None = None) -> Dataset:
    return Dataset(
        name="npz",
        train=train,
        calibration=calibration,
        evaluation=evaluation,
        classes=None,
        licence=None,
        names_inputs=True,
    )


def _load_samples(path: Path, names: Sequence[str] | None) -> ArraySamples:
    arrays = open_arrays(path)
    found = _pop_targets(arrays, names, path)
    texts = arrays.pop(TEXT) if TEXT in arrays and arrays[TEXT].dtype.kind == "U" else None
    if not arrays:
        raise usage(
            "the file holds no input",
            where=str(path),
            expected="one array per graph input",
            found="none",
            fix="write them with numpy.savez, under the names of the inputs",
        )
    everything = {**arrays, **{name: array for name, array in found.items() if not _is_ragged(name, found)}}
    everything |= {} if texts is None else {TEXT: texts}
    lengths = {name: len(array) if array.ndim else 0 for name, array in everything.items()}
    if 0 in lengths.values():
        raise usage(
            "an array has no samples",
            where=str(path),
            expected="at least 1 along the first axis",
            found=", ".join(f"{name} {everything[name].shape}" for name, length in lengths.items() if length == 0),
            fix="give real samples, such as 256 of them",
        )
    if len(set(lengths.values())) > 1:
        raise usage(
            "the arrays have different numbers of samples",
            where=str(path),
            expected="the same first axis in all",
            found=", ".join(f"{name} {length}" for name, length in lengths.items()),
            fix="take the same samples for every array",
        )
    for name, array in arrays.items():
        _check_type(name, array, path)
        _check_finite(name, array, path)
    return ArraySamples(
        arrays=arrays,
        targets=_read_targets(found, len(next(iter(arrays.values()))), path),
        sha256=hash_files("npz" if names is None else f"npz, targets {', '.join(names)}", [path]),
        texts=texts,
    )


def _pop_targets(arrays: dict[str, Rows], names: Sequence[str] | None, path: Path) -> dict[str, NDArray[Any]]:
    """Take the arrays of the targets out of those of a file; raises ToolchainError (exit 2) where one is not there."""
    found: dict[str, NDArray[Any]] = {}
    for name in (LABELS,) if names is None else names:
        own = [key for key in (name, *list_ragged_names(name)) if key in arrays]
        if not own and names is not None:
            raise usage(
                f"the file has no target {name}",
                where=str(path),
                expected=f"an array {name}, or {' and '.join(list_ragged_names(name))}",
                found=", ".join(arrays),
                fix="correct data.options.targets, or add the array",
            )
        found |= {key: arrays.pop(key)[...] for key in own}
    return found


def _is_ragged(name: str, found: Mapping[str, NDArray[Any]]) -> bool:
    pair = list_ragged_names(name.rpartition(".")[0])
    return name in pair and all(key in found for key in pair)


def _read_targets(found: Mapping[str, NDArray[Any]], samples: int, path: Path) -> dict[str, TargetArray]:
    try:
        targets = join_targets(found, samples, str(path))
    except ToolchainError as error:
        raise usage(error.what, where=error.where, expected=error.expected, found=error.found, fix=error.fix) from error
    if LABELS in found:
        targets[LABELS] = read_labels(found[LABELS], where=f"{path}: {LABELS}")
    return targets


def _check_type(name: str, array: Rows, path: Path) -> None:
    """Refuse what no runtime takes: texts, dates, complex numbers, long doubles, another machine's byte order."""
    dtype = array.dtype
    if dtype.kind == "V" or (dtype.kind in "biuf" and dtype.itemsize <= _NUMBER_BYTES_MAX and dtype.isnative):
        return  # V: bfloat16, of which numpy knows the size alone
    raise usage(
        "an input has a type that no model takes",
        where=f"{path}: {name}",
        expected="numbers or truth values, of 64 bits at the most, in this machine's byte order",
        found=str(dtype),
        fix="convert it before numpy.savez: array.astype('float32'); leave out what is no input, or name it in "
        "data.options.targets",
    )


def _check_finite(name: str, array: Rows, path: Path) -> None:
    """Refuse what is no number; -inf is one in a mask that is added to scores, which has no value above 0."""
    if not np.issubdtype(array.dtype, np.floating):
        return
    broken: list[int] = []
    first: object = None
    is_mask = True
    count = max(1, _BLOCK_BYTES // max(1, array.dtype.itemsize * math.prod(array.shape[1:])))
    for start in range(0, len(array), count):
        block = array[start : start + count]
        wrong = ~np.isfinite(block)
        is_mask = is_mask and bool((block <= 0).all())
        if wrong.any():
            first = block[wrong].flat[0] if first is None else first
            broken.extend((start + np.flatnonzero(wrong.reshape(len(block), -1).any(axis=1))).tolist())
    if not broken or is_mask:
        return
    raise usage(
        "an input holds NaN or infinity",
        where=f"{path}: {name}",
        expected="finite numbers; -inf only in a mask of numbers of 0 and less",
        found=f"{first} in sample {broken[0]}; {len(broken)} of {len(array)} samples",
        fix="leave out the samples that are broken",
    )
