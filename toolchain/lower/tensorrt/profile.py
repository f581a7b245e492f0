"""The optimization profile of dynamic shapes: what the calibration data showed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from toolchain.lower.trial import Arrays


@dataclass(frozen=True)
class ShapeRange:
    """The shapes of one input: the least and the greatest length of every axis, and the most frequent shape."""

    least: tuple[int, ...]
    usual: tuple[int, ...]
    most: tuple[int, ...]


def find_profile(feeds: Iterable[Arrays]) -> dict[str, ShapeRange]:
    """Return the shapes of every input over the calibration set; data outside of them is refused on the board."""
    seen: dict[str, Counter[tuple[int, ...]]] = {}
    for feed in feeds:
        for name, array in feed.items():
            seen.setdefault(name, Counter())[array.shape] += 1
    return {
        name: ShapeRange(
            least=tuple(map(min, *shapes, *shapes)),
            usual=max(shapes, key=lambda shape: (shapes[shape], shape)),
            most=tuple(map(max, *shapes, *shapes)),
        )
        for name, shapes in seen.items()
    }
