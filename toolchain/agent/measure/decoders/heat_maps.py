"""Key points of heat maps: where each is highest, and a quarter of a cell towards the higher neighbour (Newell et al. 2016).

The quarter may be left out, for a model whose makers evaluate it so. Of equally high cells the first counts. A heat map with a
NaN has its point nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from ..outputs import list_first, read_output
from ..parts import describe_rows, refuse_part
from . import Arrays, Decoded, Decoder

OUTPUTS = ("points", "scores")


@dataclass(frozen=True)
class Options:
    """What is read."""

    output: Optional[str] = None
    """Heat maps (n, points, height, width); none is the first output."""
    stride: float = 4.0
    """Pixels from cell to cell."""
    quarter: bool = True
    """Whether a point moves a quarter of a cell."""

    def __post_init__(self) -> None:
        if not self.stride > 0:
            message = "a stride above 0"
            raise ValueError(message)


@dataclass(frozen=True)
class _HeatMaps:
    options: Options

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return list_first(outputs, self.options.output)

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        maps = read_output("heat_maps", outputs, self.options.output, (None, None, None, None))
        count, points, height, width = maps.shape
        if not height * width * points:
            expected = "heat maps with cells"
            raise refuse_part("heat_maps", "the output", expected=expected, found=describe_rows(maps))
        flat = maps.reshape(count, points, height * width)
        highest = flat.argmax(axis=2)
        scores = np.take_along_axis(flat, highest[..., None], axis=2)[..., 0]
        rows, columns = highest // width, highest % width
        framed = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        sample, point = np.ogrid[:count, :points]
        across = framed[sample, point, rows + 1, columns + 2] - framed[sample, point, rows + 1, columns]
        down = framed[sample, point, rows + 2, columns + 1] - framed[sample, point, rows, columns + 1]
        inside = ((columns > 0) & (columns < width - 1), (rows > 0) & (rows < height - 1))
        share = 0.25 if self.options.quarter else 0.0
        x = columns + share * np.sign(across) * inside[0]
        y = rows + share * np.sign(down) * inside[1]
        found = np.stack([x * self.options.stride, y * self.options.stride, scores], axis=2).astype(np.float32)
        found[np.isnan(flat).any(axis=2)] = np.nan
        return {"points": found, "scores": found[..., 2].mean(axis=1)}


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _HeatMaps(options)
