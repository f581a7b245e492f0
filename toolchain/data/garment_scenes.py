"""Scenes of garments: several pictures of Fashion-MNIST in one of 96x96, grey, with overlap and clutter.

Made when they are taken, each from its own number: the same every time, in the memory of one batch. Training and test scenes
show other garments, and so does their clutter. Targets: `boxes` (Ragged, left, top, right, bottom in pixels, of the whole garment,
hidden parts too), `classes` (Ragged) and `mask` `(N, 96, 96)`, 0 where no garment of the classes is seen and 1 + the number
of its class where one is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.agent.measure.targets import Ragged, TargetArray
from toolchain.data import fashion_mnist, fashion_mnist_small
from toolchain.data.compose_scene import GENERATOR, SIDE, Garment, Placed, cut_garment, draw_scene, lay_out
from toolchain.data.dataset import IMAGE_INPUT, Dataset, ImageSamples, find_labels
from toolchain.data.drawn_rows import DrawnRows
from toolchain.errors import usage
from toolchain.project.toml_file import Section, check_table

BOXES, CLASSES, MASK = "boxes", "classes", "mask"

# Of all pixels of 1,000 scenes, rounded.
_MEAN, _STD = 0.34, 0.18
_TRAIN, _EVALUATION = 0, 1
# So many scenes are drawn for the hash, which then sees another generator of random numbers.
_HASHED = 8

Target = Literal["boxes", "classes", "mask"]


class Options(Section):
    """Which garments, how many scenes, and what is asked of them."""

    garments: Literal["fashion_mnist_small", "fashion_mnist"] = "fashion_mnist_small"
    """The data set that they are of: the part in the repository, or all, which has to be on the machine."""
    download: bool = False
    """Let torchvision download fashion_mnist where it is missing."""
    classes: list[str] = Field(default=["Trouser", "Pullover", "Dress", "Sneaker", "Bag"], min_length=2)
    """What is to be found, in the order of their numbers; pieces of the others are clutter."""
    train_scenes: int = Field(default=8192, ge=16, le=10**6)
    """To learn from; the first of them calibrate."""
    evaluation_scenes: int = Field(default=1000, ge=16, le=10**6)
    targets: list[Target] = Field(default=["boxes", "classes", "mask"], min_length=1)


@dataclass(frozen=True)
class Scenes:
    """The scenes of one part, by their numbers."""

    garments: Sequence[Garment]
    classes: int
    count: int
    seed: int
    """Of the part: its scenes are drawn with (seed, number)."""
    kinds: Sequence[Target]
    source: str
    """What the garments are and which are named."""

    def __len__(self) -> int:
        return self.count

    @cached_property
    def targets(self) -> Mapping[str, TargetArray]:
        """What a model should answer; the layouts are drawn once, the masks when they are taken."""
        found: dict[str, TargetArray] = {}
        if BOXES in self.kinds or CLASSES in self.kinds:
            layouts = [self._lay_out(index)[0] for index in range(self.count)]
            offsets = np.cumsum([0, *map(len, layouts)], dtype=np.int64)
            everything = [place for layout in layouts for place in layout]
            boxes = np.array([place.box for place in everything], dtype=np.float32)
            numbers = np.array([self.garments[place.garment].number for place in everything], dtype=np.int64)
            found = {BOXES: Ragged(values=boxes, offsets=offsets), CLASSES: Ragged(values=numbers, offsets=offsets)}
        if MASK in self.kinds:
            rows = DrawnRows(range(self.count), lambda index: self._draw(index)[1], shape=(SIDE, SIDE), dtype=np.uint8)
            found[MASK] = cast("TargetArray", rows)
        return {name: target for name, target in found.items() if name in self.kinds}

    @cached_property
    def sha256(self) -> str:
        """Of the garments, the generator and what it is asked for, and of the first scenes as they came out."""
        total = hashlib.sha256(f"{GENERATOR} {self.source} {self.count} {self.seed} {list(self.kinds)}".encode())
        for index in range(min(_HASHED, self.count)):
            for array in self._draw(index):
                total.update(array.tobytes())
        return total.hexdigest()

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the scenes start to stop."""
        return self.take(np.arange(self.count)[start:stop])

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the scenes at the indices `(n,)`, `(n, 1, 96, 96)`."""
        scenes = np.empty((len(indices), 1, SIDE, SIDE), dtype=np.float32)
        for row, index in enumerate(indices):
            scenes[row, 0] = (self._draw(int(index))[0] / 255 - _MEAN) / _STD
        return {IMAGE_INPUT: scenes}

    def read_pixels(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the pixels of the scenes start to stop, `(n, 96, 96, 1)`."""
        return np.stack([self._draw(index)[0] for index in range(self.count)[start:stop]])[..., None]

    @cached_property
    def _named(self) -> list[list[int]]:
        numbers = np.array([garment.number for garment in self.garments])
        return [np.flatnonzero(numbers == number).tolist() for number in range(self.classes)]

    def _lay_out(self, index: int) -> tuple[list[Placed], np.random.Generator]:
        rng = np.random.default_rng([self.seed, index])
        return lay_out(self.garments, self._named, rng), rng

    def _draw(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        placed, rng = self._lay_out(index)
        return draw_scene(self.garments, placed, rng)


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the scenes; raises ToolchainError: exit 2 for unknown classes, exit 3 where Fashion-MNIST is missing."""
    chosen = check_table(Options, options, what="the options of garment_scenes", where="data.options")
    _check_classes(chosen.classes)
    if chosen.garments == "fashion_mnist":
        train, evaluation = fashion_mnist.load_parts({"download": chosen.download})
    else:
        train, evaluation = fashion_mnist_small.load_parts()
    scenes = _make_scenes(train, chosen, count=chosen.train_scenes, seed=_TRAIN)
    return Dataset(
        name="garment_scenes",
        train=scenes,
        calibration=scenes,
        evaluation=_make_scenes(evaluation, chosen, count=chosen.evaluation_scenes, seed=_EVALUATION),
        classes=tuple(["background", *chosen.classes] if chosen.targets == [MASK] else chosen.classes),
        licence=fashion_mnist.LICENCE,
    )


def _make_scenes(samples: ImageSamples, options: Options, *, count: int, seed: int) -> Scenes:
    numbers = {fashion_mnist.CLASSES.index(name): number for number, name in enumerate(options.classes)}
    labels = find_labels(samples)
    if labels is None:
        raise TypeError("these pictures have labels")
    cut = [
        cut_garment(picture, numbers.get(label, -1))
        for picture, label in zip(samples.images, labels.tolist(), strict=True)
    ]
    return Scenes(
        garments=[garment for garment in cut if garment is not None],
        classes=len(numbers),
        count=count,
        seed=seed,
        kinds=options.targets,
        source=f"{samples.sha256} {options.classes}",
    )


def _check_classes(classes: Sequence[str]) -> None:
    unknown = [name for name in classes if name not in fashion_mnist.CLASSES]
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if not unknown and not twice:
        return
    raise usage(
        f"a class is {'none of the garments' if unknown else 'named twice'}",
        where="data.options.classes",
        expected=f"each once, of {', '.join(fashion_mnist.CLASSES)}",
        found=(unknown or twice)[0],
        fix="correct the name" if unknown else "name it once",
    )
