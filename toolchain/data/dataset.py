"""Data sets and their parts, as the stages see them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.targets import LABELS, TargetArray

IMAGE_INPUT = "input"
"""The key of a batch of images."""


class Samples(Protocol):
    """A part of a data set, in a fixed order."""

    @property
    def targets(self) -> Mapping[str, TargetArray]:
        """What a model should answer, by name (agent/measure/targets.py); class numbers `(N,)` are "labels"."""

    @property
    def sha256(self) -> str:
        """Of the content: the source files, and what selects and transforms them."""

    def __len__(self) -> int: ...

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return samples start to stop: one array per model input, first axis = samples.

        Image sets use the key "input": float32 `(n, C, H, W)`, normalized. They may have `read_pixels(start, stop)` too: the
        bytes `(n, H, W, C)` of the same pictures before that, and `read_frame(index)`: one as it was stored (data/sensor.py).
        Sets of texts may have `read_text(index)`: what the tokens of a sample were made of (data/texts.py).
        """


class TrainingSamples(Samples, Protocol):
    """Samples that can be taken in any order."""

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the samples at the indices `(n,)`, as batch does."""


@dataclass(frozen=True)
class Dataset:
    """A data set: what a model learns from, is calibrated with and is evaluated on."""

    name: str
    train: TrainingSamples | None
    """What `toolchain train` learns from."""
    calibration: Samples
    """From the training part."""
    evaluation: Samples
    """From the test part."""
    classes: tuple[str, ...] | None
    licence: str | None
    names_inputs: bool = False
    """Whether the user named the arrays for the model's inputs; pictures have one name in all sets of them."""
    tokenizer_sha256: str | None = None
    """Of what made tokens of texts (project/text_section.py); None where that was no tokenizer of ours."""


@dataclass(frozen=True)
class ImageSamples:
    """Labelled images in memory, transformed when they are taken."""

    images: NDArray[np.uint8]
    """`(N, …)`, as in the source."""
    targets: Mapping[str, TargetArray]
    sha256: str
    transform: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    """From source images `(n, …)` to a model input `(n, C, H, W)`."""
    lay_pixels: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = np.asarray
    """From source images to the pixels `(n, H, W, C)` of that input, in RGB or grey: what a camera would give."""

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the images start to stop."""
        return {IMAGE_INPUT: self.transform(self.images[start:stop])}

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the images at the indices `(n,)`."""
        return {IMAGE_INPUT: self.transform(self.images[indices])}

    def read_pixels(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the pixels of the images start to stop."""
        return self.lay_pixels(self.images[start:stop])


def find_labels(samples: Samples) -> NDArray[np.int64] | None:
    """Return the class of each sample `(N,)`, None where there are none, or a sample may have several."""
    labels = samples.targets.get(LABELS)
    return labels if isinstance(labels, np.ndarray) and labels.ndim == 1 else None


def name_sample(samples: Samples, index: int) -> str:
    """Return what the user calls a sample: its file where it has one, else its number in the source."""
    name: Callable[[int], str] | None = getattr(samples, "name_sample", None)
    return f"sample {index}" if name is None else name(index)


def find_text_reader(samples: Samples) -> Callable[[int], str] | None:
    """Return what reads the text that a sample's tokens were made of; None where a part has no texts."""
    read: Callable[[int], str] | None = getattr(samples, "read_text", None)
    return read


def measure_arrays(arrays: Mapping[str, NDArray[Any]]) -> int:
    """Return the bytes of some arrays, such as those that one run takes."""
    return sum(array.nbytes for array in arrays.values())


def are_pictures(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether there is one array `(N, C, H, W)` of floats under the name of pictures: what is augmented."""
    if arrays.keys() != {IMAGE_INPUT}:
        return False
    return arrays[IMAGE_INPUT].ndim == 4 and arrays[IMAGE_INPUT].dtype.kind == "f"


def hash_files(what: str, paths: Sequence[Path]) -> str:
    """Return the sha256 of files in this order, and of the text that says what is taken of them and how."""
    total = hashlib.sha256(what.encode())
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def hash_stats(what: str, folder: Path, paths: Sequence[Path]) -> str:
    """Return the sha256 of names, sizes and times of change: for sets too large to be read on every run."""
    total = hashlib.sha256(what.encode())
    for path in paths:
        stat = path.stat()
        total.update(f"\n{path.relative_to(folder).as_posix()} {stat.st_size} {stat.st_mtime_ns}".encode())
    return total.hexdigest()


def interleave_classes(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order of samples that takes one of each class in turn, so that any first n are balanced.

    Within a class the order stays.
    """
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    return np.lexsort((labels, turn)).astype(np.int64)
