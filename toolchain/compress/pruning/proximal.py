"""Group lasso by its proximal operator: groups of parameters that say little become exactly zero in training.

After a step of learning rate r, a group w of k parameters becomes w * max(0, 1 - r * strength * sqrt(k) / |w|)
(Yuan and Lin 2006, doi:10.1111/j.1467-9868.2005.00532.x; Parikh and Boyd 2014, section 6.5). With k = 1 that is the
soft threshold of the L1 norm. A penalty in the loss would leave small values, and never a zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolchain.errors import usage
from toolchain.module.fit import Hook


@dataclass(frozen=True)
class Slice:
    """Rows of a parameter and which group each of them belongs to."""

    parameter: Tensor
    rows: Tensor
    """Indices along the first axis `(rows,)`."""
    groups: Tensor
    """For each row, the group `(rows,)`."""


@dataclass(frozen=True)
class Lasso:
    """Groups that are shrunk together, and what goes to zero with them."""

    count: int
    """The number of groups."""
    slices: tuple[Slice, ...]
    """The parameters of the groups."""
    followers: tuple[Slice, ...] = ()
    """Zero where the group is: the shift beside a scale."""

    def measure(self) -> Tensor:
        """Return the L2 norm of each group `(count,)`."""
        squares = torch.zeros(self.count)
        for part in self.slices:
            rows = part.parameter.detach()[part.rows].reshape(len(part.rows), -1)
            squares.index_add_(0, part.groups, rows.square().sum(dim=1).float().cpu())
        return squares.sqrt()

    @property
    def sizes(self) -> Tensor:
        """The number of parameters of each group `(count,)`."""
        sizes = torch.zeros(self.count)
        for part in self.slices:
            per_row = part.parameter[0].numel()
            sizes.index_add_(0, part.groups, torch.full((len(part.rows),), float(per_row)))
        return sizes

    @torch.no_grad()
    def shrink(self, by: float) -> None:
        """Apply the proximal operator of `by` times the sum of sqrt(size) * norm, in place."""
        norms = self.measure()
        factors = (1.0 - by * self.sizes.sqrt() / norms.clamp_min(torch.finfo(norms.dtype).tiny)).clamp_min(0.0)
        for part in self.slices:
            _multiply(part, factors)
        for part in self.followers:
            _multiply(part, (factors > 0).to(factors.dtype))


def refuse_frozen(lassos: Mapping[str, Lasso], *, method: str) -> None:
    """Refuse (exit 2) groups with frozen parameters, which no training may move; lassos: by the layers to skip."""
    for layer, lasso in lassos.items():
        if not all(part.parameter.requires_grad for part in (*lasso.slices, *lasso.followers)):
            raise usage(
                f"{method} would move weights that are frozen",
                where=f"{method}: {layer}",
                expected="parameters that require gradients",
                found="requires_grad = False",
                fix=f'skip = ["{layer}"], or unfreeze it in the function that builds the model',
            )


class LassoHook(Hook):
    """Shrinks groups after every step, by the learning rate of that step times the strength."""

    def __init__(self, lassos: Sequence[Lasso], strength: float) -> None:
        self._lassos = lassos
        self._strength = strength

    def after_step(self, learning_rate: float) -> None:
        """Shrink."""
        for lasso in self._lassos:
            lasso.shrink(learning_rate * self._strength)


def slice_all(parameter: Tensor, group: int = 0) -> Slice:
    """Return the whole parameter as part of one group."""
    rows = torch.arange(len(parameter), device=parameter.device)
    return Slice(parameter, rows, torch.full((len(parameter),), group))


def _multiply(part: Slice, factors: Tensor) -> None:
    own = factors[part.groups].to(part.parameter)
    part.parameter[part.rows] *= own.reshape(-1, *[1] * (part.parameter.ndim - 1))
