"""Arrays in an .npz file: one per graph input, the first axis is the samples; an array "labels" is optional."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.data.dataset import IMAGE_INPUT, Dataset, hash_files
from toolchain.errors import malformed, missing, usage
from toolchain.toml_file import Section, check_table

_LABELS = "labels"


class NpzOptions(Section):
    """Where the arrays are."""

    path: str
    evaluation: str | None = None
    """Another file for the evaluation, and then labelled pictures in the first one can be trained on; None evaluates on
    the arrays that also calibrate, and trains on none."""


@dataclass(frozen=True)
class ArraySamples:
    """Arrays in memory, as they are in the file."""

    arrays: Mapping[str, NDArray[Any]]
    """One per model input, `(N, …)`."""
    labels: NDArray[np.int64] | None
    sha256: str

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the rows start to stop of every array."""
        return {name: array[start:stop] for name, array in self.arrays.items()}

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the rows at the indices `(n,)` of every array."""
        return {name: array[indices] for name, array in self.arrays.items()}

    @property
    def are_pictures(self) -> bool:
        """Whether there is one array `(N, C, H, W)`, under the name of pictures."""
        return self.arrays.keys() == {IMAGE_INPUT} and self.arrays[IMAGE_INPUT].ndim == 4


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the arrays of one file, or of one for calibration and one for evaluation."""
    chosen = check_table(NpzOptions, options, what="the options of npz", where="data.options")
    calibration = _load_samples(Path(chosen.path))
    evaluation = calibration if chosen.evaluation is None else _load_samples(Path(chosen.evaluation))
    if evaluation.arrays.keys() != calibration.arrays.keys():
        raise usage(
            "the two files hold different inputs",
            where=chosen.evaluation,
            expected=", ".join(sorted(calibration.arrays)),
            found=", ".join(sorted(evaluation.arrays)),
            fix="give both files one array per graph input, under the same names",
        )
    trains = evaluation is not calibration and calibration.are_pictures and calibration.labels is not None
    return Dataset(
        name="npz",
        train=calibration if trains else None,
        calibration=calibration,
        evaluation=evaluation,
        classes=None,
        licence=None,
    )


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file, without pickles.

    Raises ToolchainError: no such file (exit 3), a corrupt or unsafe one (exit 23).
    """
    if not path.is_file():
        raise missing(f"there is no file {path}", fix="check the path, or write the file with numpy.savez")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise malformed(
                "this is one bare array",
                where=str(path),
                expected="an .npz file",
                found="an .npy file",
                fix="write it with numpy.savez, under the name of the graph's input",
            )
        with archive:
            arrays = {name: archive[name] for name in archive.files}
    # MemoryError: a header that declares more than there is. NotImplementedError: an unknown compression.
    except (
        ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile, zlib.error, MemoryError, NotImplementedError,
    ) as error:  # fmt: skip
        raise malformed(
            "the file is corrupt, or holds Python objects, which are refused: reading them executes code",
            where=str(path),
            expected="an .npz file of plain arrays, as numpy.savez writes it",
            found=str(error) or type(error).__name__,
            fix="write plain arrays of numbers with numpy.savez, or copy the file again",
        ) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise malformed("the file holds something else than arrays", where=str(path), found=name)
    return arrays


def _load_samples(path: Path) -> ArraySamples:
    arrays = read_npz(path)
    labels = arrays.pop(_LABELS, None)
    if not arrays:
        raise usage(
            "the file holds no input",
            where=str(path),
            expected="one array per graph input",
            found="none",
            fix="write them with numpy.savez, under the names of the inputs",
        )
    everything = arrays if labels is None else {**arrays, _LABELS: labels}
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
        if np.issubdtype(array.dtype, np.floating) and bool(np.isnan(array).any()):
            raise usage(
                "an input holds NaN",
                where=f"{path}: {name}",
                expected="numbers",
                found="NaN",
                fix="leave out the samples that are broken",
            )
    if labels is not None and (labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer)):
        raise usage(
            "the labels are not classes",
            where=f"{path}: {_LABELS}",
            expected=f"integers of shape ({len(labels)},)",
            found=f"{labels.dtype} of shape {labels.shape}",
            fix="give the index of its class for each sample, or leave the labels out",
        )
    return ArraySamples(
        arrays=arrays,
        labels=None if labels is None else labels.astype(np.int64),
        sha256=hash_files("npz", [path]),
    )
