"""Composes a scene: garments at drawn places over clutter. The layout says where they are, and costs no drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GENERATOR = "scenes 1"
"""Changes with every change of what is drawn."""
SIDE = 96
"""Of a scene, in pixels."""

# Garments of a scene, drawn; one that finds no place is left out.
_GARMENTS = (2, 5)
# The longer side of a garment, in pixels: a quarter to more than half of the scene.
_LONGEST = (26, 52)
# Of the smaller of two boxes, so much may lie in the other: what is hidden further, nobody can tell.
_OVERLAP_MAX = 0.4
_TRIES = 12
# Fashion-MNIST lies on black; darker than this are the soft edges of its garments.
_EDGE = 16
_SHAPES = (2, 6)
_FRAGMENTS = (1, 4)
_FRAGMENT_SIDES = (8, 15)
_NOISE = 12


@dataclass(frozen=True)
class Garment:
    """One picture, cut to what it shows."""

    pixels: NDArray[np.uint8]
    """`(height, width)`."""
    number: int
    """Of its class among those that a scene names, from 0; -1 for what is clutter alone."""


@dataclass(frozen=True)
class Placed:
    """A garment in a scene."""

    garment: int
    """Which of all there are."""
    box: tuple[int, int, int, int]
    """Left, top, right and bottom, in pixels; the right and the bottom one are the first outside of it."""
    mirrored: bool
    level: int
    """Its brightness in 256ths."""


def cut_garment(picture: NDArray[np.uint8], number: int) -> Garment | None:
    """Return what a picture shows, None where it shows next to nothing."""
    there = picture > _EDGE
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    if len(rows) < 2 or len(columns) < 2:
        return None
    return Garment(pixels=picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], number=number)


def lay_out(garments: Sequence[Garment], named: Sequence[Sequence[int]], rng: np.random.Generator) -> list[Placed]:
    """Return where the garments of a scene are, the lowest first; named: those of each class, by their indices.

    The first is always there: no scene is empty.
    """
    placed: list[Placed] = []
    for _ in range(int(rng.integers(_GARMENTS[0], _GARMENTS[1] + 1))):
        members = named[int(rng.integers(len(named)))]
        index = int(members[int(rng.integers(len(members)))])
        height, width = _scale(garments[index].pixels.shape, int(rng.integers(_LONGEST[0], _LONGEST[1] + 1)))
        mirrored, level = bool(rng.integers(2)), int(rng.integers(150, 257))
        for left, top in rng.integers(0, (SIDE - width + 1, SIDE - height + 1), size=(_TRIES, 2)).tolist():
            box = (left, top, left + width, top + height)
            if all(_measure_overlap(box, other.box) <= _OVERLAP_MAX for other in placed):
                placed.append(Placed(garment=index, box=box, mirrored=mirrored, level=level))
                break
    return placed


def draw_scene(
    garments: Sequence[Garment], placed: Sequence[Placed], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a scene and its mask, both `(96, 96)`: 0 where no named garment is seen, and 1 + the number of its class."""
    scene = _draw_clutter(garments, rng)
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    for place in placed:
        garment = garments[place.garment]
        left, top, right, bottom = place.box
        pixels = _resize(garment.pixels[:, ::-1] if place.mirrored else garment.pixels, bottom - top, right - left)
        there = pixels > _EDGE
        scene[top:bottom, left:right][there] = (pixels * place.level / 256)[there]
        mask[top:bottom, left:right][there] = garment.number + 1
    noise = rng.integers(-_NOISE, _NOISE + 1, size=scene.shape, dtype=np.int16)
    return np.clip(scene + noise, 0, 255).astype(np.uint8), mask


def _draw_clutter(garments: Sequence[Garment], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a background `(96, 96)` that brightens to one side, with bars, boxes and pieces of garments on it."""
    rise = np.arange(SIDE) / SIDE
    low, to_right, to_bottom = rng.integers(0, (90, 60, 60)).tolist()
    scene: NDArray[np.float64] = low + to_right * rise + (to_bottom * rise)[:, None]
    for left, top, width, height, grey in rng.integers(
        (0, 0, 2, 2, 0), (SIDE, SIDE, 40, 14, 200), size=(int(rng.integers(_SHAPES[0], _SHAPES[1] + 1)), 5)
    ).tolist():
        across, down = (height, width) if grey % 2 else (width, height)
        part = scene[top : top + down, left : left + across]
        part[:] = (part + grey) / 2
    for _ in range(int(rng.integers(_FRAGMENTS[0], _FRAGMENTS[1] + 1))):
        pixels = garments[int(rng.integers(len(garments)))].pixels
        side = int(rng.integers(_FRAGMENT_SIDES[0], _FRAGMENT_SIDES[1] + 1))
        row, column = rng.integers(0, (max(1, pixels.shape[0] - side), max(1, pixels.shape[1] - side)))
        piece = pixels[row : row + side, column : column + side]
        left, top = rng.integers(0, SIDE - side, size=2)
        part = scene[top : top + piece.shape[0], left : left + piece.shape[1]]
        np.copyto(part, piece, where=piece > _EDGE)
    return scene


def _scale(shape: tuple[int, ...], longest: int) -> tuple[int, int]:
    height, width = shape
    return max(4, height * longest // max(shape)), max(4, width * longest // max(shape))


def _measure_overlap(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Return the share of the smaller of two boxes that lies in the other."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (box, other)]
    return width * height / min(areas)


def _resize(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float64]:
    """Return the pixels at another size, between those that are the nearest in proportion to how near they are."""
    rows = _interpolate(pixels.astype(np.float64), height)
    return np.ascontiguousarray(_interpolate(np.ascontiguousarray(rows.T), width).T)


def _interpolate(rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    at = np.clip((np.arange(count) + 0.5) * (len(rows) / count) - 0.5, 0, len(rows) - 1)
    first = np.minimum(at.astype(np.int64), len(rows) - 2)
    share = (at - first)[:, None]
    between: NDArray[np.float64] = rows[first] * (1 - share) + rows[first + 1] * share
    return between
