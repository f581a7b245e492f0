"""SSD: boxes as differences from priors, in their variances (Liu et al. 2016), and scores of which the first is background.

middle = prior middle + variance * t * prior size; size = prior size * exp(variance * t).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, List, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from ..detection.choose import MADE, Choice, choose_detections
from ..detection.forms import list_cells, make_corners
from ..outputs import apply_softmax, expect_samples_alike, read_output
from . import Arrays, Decoded, Decoder

OUTPUTS = MADE


@dataclass(frozen=True)
class Options(Choice):
    """What the priors are, and which boxes are detections."""

    boxes: str = "boxes"
    """The output (n, priors, 4): middle and size, as differences."""
    scores: str = "scores"
    """The output (n, priors, 1 + classes)."""
    priors: Tuple[Tuple[float, ...], ...] = ()
    """Each prior: x, y of the middle, width, height in pixels; or in place of it what they are made of:"""
    size: Tuple[int, ...] = ()
    """Height and width of the picture."""
    grids: Tuple[Tuple[int, ...], ...] = ()
    """Height and width of each grid."""
    scales: Tuple[float, ...] = ()
    """Size of the priors of each grid in shares of the picture, and one more."""
    ratios: Tuple[Tuple[float, ...], ...] = ()
    """Of each grid: the ratios of width to height above 1; each comes with its inverse, after two squares."""
    variances: Tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    """Of x, y, width and height; these are those of the paper's code."""
    activated: bool = False
    """Whether the graph has the softmax of the scores already."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.variances) != 4:
            message = "four variances"
            raise ValueError(message)
        made = bool(self.size or self.grids or self.scales or self.ratios)
        if bool(self.priors) is made:
            message = "either priors, or size, grids, scales and ratios"
            raise ValueError(message)
        if any(len(prior) != 4 for prior in self.priors):
            message = "priors of four numbers"
            raise ValueError(message)
        if made and not self._are_grids_whole():
            message = "size and each grid a height and a width, a scale more than grids, ratios above 0 of each grid"
            raise ValueError(message)

    def _are_grids_whole(self) -> bool:
        pairs = all(len(pair) == 2 and min(pair) >= 1 for pair in (self.size, *self.grids))
        ratios = all(ratio > 0 for grid in self.ratios for ratio in grid)
        return pairs and ratios and len(self.scales) == len(self.grids) + 1 and len(self.ratios) == len(self.grids)


def make_priors(options: Options) -> NDArray[np.float32]:
    """Return priors (priors, 4), as torchvision's DefaultBoxGenerator: of each grid cell by cell, in each its shapes."""
    if options.priors:
        return np.array(options.priors, np.float32)
    height, width = options.size
    parts: List[NDArray[Any]] = []
    for index, (rows, columns) in enumerate(options.grids):
        scale, following = options.scales[index], options.scales[index + 1]
        shapes = [(scale, scale), (math.sqrt(scale * following), math.sqrt(scale * following))]
        for ratio in options.ratios[index]:
            wide, high = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            shapes += [(wide, high), (high, wide)]
        # A prior is no larger than the picture.
        sizes = np.clip(np.array(shapes), 0.0, 1.0)
        middles = (list_cells(rows, columns) + 0.5) / [columns, rows]
        cells = np.repeat(middles, len(sizes), axis=0)
        parts.append(np.concatenate([cells, np.tile(sizes, (len(middles), 1))], axis=1))
    return (np.concatenate(parts) * [width, height, width, height]).astype(np.float32)


class _Ssd:
    def __init__(self, options: Options) -> None:
        self._options, self._priors = options, make_priors(options)

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return [name for name in outputs if name in (self._options.boxes, self._options.scores)]

    def count_classes(self, outputs: Arrays) -> int:
        return int(read_output("ssd", outputs, self._options.scores, (None, None, None)).shape[2]) - 1

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        options, priors = self._options, self._priors
        moved = read_output("ssd", outputs, options.boxes, (None, len(priors), 4))
        moved = moved * np.array(options.variances, np.float32)
        scores = read_output("ssd", outputs, options.scores, (None, len(priors), None))
        expect_samples_alike("ssd", {"boxes": moved, "scores": scores})
        # A size beyond e^4.1 priors is a mistake of the model, and exp of it overflows (torchvision's bbox_xform_clip).
        sizes = priors[:, 2:] * np.exp(np.minimum(moved[..., 2:], math.log(1000.0 / 16)))
        middles = priors[:, :2] + moved[..., :2] * priors[:, 2:]
        corners = make_corners(np.concatenate([middles, sizes], axis=-1), "cxcywh")
        shares = scores if options.activated else apply_softmax(scores, axis=2)
        return choose_detections(corners, shares[..., 1:], options)


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Ssd(options)
