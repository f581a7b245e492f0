"""Linear n-bit quantization of a weight: real = scale * (integer - zero point), symmetric or affine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

Bits = Annotated[int, Field(ge=2, le=8)]
"""Of a quantized weight: with 1 bit a symmetric grid has nothing but zero; 8 bits are what int8 kernels compute with."""

Clipping = Literal["none", "mse"]

# The share of the range that is kept, as candidates: 1.00, 0.98, …, 0.40. For 2 bits and normal weights the best is
# near 0.5 (Max 1960, table I); steps of 0.02 change the error by less than 1 %.
_SHARES = [share / 100 for share in range(100, 38, -2)]

# float32's smallest normal number: kernels may flush what is below it to zero.
_SMALLEST_SCALE = float(torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class Grid:
    """scale, zero_point: float32, `(C, 1, …)` per channel or `(1, 1, …)` per tensor; integers lie in [lowest, highest]."""

    scale: Tensor
    zero_point: Tensor
    lowest: int
    highest: int

    def snap(self, weight: Tensor) -> Tensor:
        """Return the nearest point of the grid for each weight; what lies outside of the range goes to its end."""
        integers = torch.clamp(torch.round(weight / self.scale) + self.zero_point, self.lowest, self.highest)
        return (integers - self.zero_point) * self.scale + 0.0  # a negative zero would be one value more


def choose_grid(weight: Tensor, *, bits: int, symmetric: bool, per_channel: bool, clipping: Clipping) -> Grid:
    """Return the grid of at most 2^bits points for a float32 weight `(C, …)`; zero is always one of them.

    Symmetric grids have 2^(bits-1) - 1 points on each side of zero. With clipping "mse" the range is cut to the share
    of it that leaves the least squared error, for each channel (or the tensor) on its own; "none" covers all weights.
    """
    rows = weight.detach().reshape(weight.shape[0] if per_channel else 1, -1)
    best = _cover(rows, 1.0, bits=bits, symmetric=symmetric)
    if clipping == "mse":
        error = _measure_error(best, rows)
        for share in _SHARES[1:]:
            grid = _cover(rows, share, bits=bits, symmetric=symmetric)
            found = _measure_error(grid, rows)
            better = found < error
            error = torch.where(better, found, error)
            best = Grid(
                torch.where(better, grid.scale, best.scale),
                torch.where(better, grid.zero_point, best.zero_point),
                grid.lowest,
                grid.highest,
            )
    shape = [-1, *[1] * (weight.ndim - 1)]
    return Grid(best.scale.reshape(shape), best.zero_point.reshape(shape), best.lowest, best.highest)


def _cover(rows: Tensor, share: float, *, bits: int, symmetric: bool) -> Grid:
    """Return the grid over a share of each row's range: rows `(R, N)`, scale and zero point `(R, 1)`."""
    low = rows.min(dim=1, keepdim=True).values.clamp(max=0.0) * share
    high = rows.max(dim=1, keepdim=True).values.clamp(min=0.0) * share
    if symmetric:
        limit = 2 ** (bits - 1) - 1
        scale = torch.maximum(-low, high) / limit
        lowest, highest = -limit, limit
    else:
        lowest, highest = 0, 2**bits - 1
        scale = (high - low) / highest
    scale = torch.where(scale < _SMALLEST_SCALE, torch.ones_like(scale), scale)
    zero_point = torch.zeros_like(scale) if symmetric else torch.round(-low / scale)
    return Grid(scale, zero_point, lowest, highest)


def _measure_error(grid: Grid, rows: Tensor) -> Tensor:
    return (grid.snap(rows) - rows).double().square().sum(dim=1, keepdim=True)
