"""A codebook for a weight: optimal one-dimensional k-means, and a training of the centres."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import ckmeans
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolchain.module.fit import Hook

# Larger tensors are clustered by this many means of equally many neighbours in sorted order: 2.4 million weights then
# take the time of 65,536, and the squared error is the optimum's to four digits (tests/compress/quantization/test_codebook.py).
_POINTS_MAX = 2**16

# What the library clusters into at most: it counts clusters in a byte. 8 bits therefore have 255 centres.
_CENTRES_MAX = 255


@dataclass(frozen=True)
class Codebook:
    """centres: float32 `(K,)`; codes: int64, shaped as the weight, the index of each weight's centre."""

    centres: Tensor
    codes: Tensor

    def expand(self) -> Tensor:
        """Return the weight whose values are the centres."""
        return self.centres[self.codes]


def choose_codebook(weight: Tensor, *, bits: int, keep_zero: bool = False) -> Codebook:
    """Return at most 2^bits centres with the least squared error to the weight, and each weight's centre.

    The clusters are optimal (Wang and Song 2011, Ckmeans.1d.dp), not what an iteration from a random start finds.
    keep_zero: zero is a centre, and what is zero stays zero: for pruned weights.
    """
    flat = weight.detach().reshape(-1).double().cpu().numpy()
    free = flat != 0 if keep_zero else np.ones(flat.shape, dtype=bool)
    centres = _find_centres(flat[free], min(2**bits - int(keep_zero), _CENTRES_MAX))
    codes = np.full(flat.shape, len(centres), dtype=np.int64)  # what is not free has zero, behind the others
    codes[free] = _find_nearest(flat[free], centres)
    centres = _take_means(flat[free], codes[free], centres)
    if keep_zero:
        centres = np.append(centres, 0.0)
    return Codebook(
        centres=torch.from_numpy(centres.astype(np.float32)).to(weight.device),
        codes=torch.from_numpy(codes).reshape(weight.shape).to(weight.device),
    )


def _find_centres(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    if values.size == 0:
        return np.zeros(0)
    points = np.sort(values)
    if len(points) > _POINTS_MAX:
        size = math.ceil(len(points) / _POINTS_MAX)
        whole = len(points) // size * size
        # The few that are left over at the upper end stand for themselves.
        points = np.append(points[:whole].reshape(-1, size).mean(axis=1), points[whole:])
    clusters = ckmeans.ckmeans(points, min(count, len(points)))
    return np.array([cluster.mean() for cluster in clusters])


def _take_means(
    values: NDArray[np.float64], codes: NDArray[np.int64], centres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of each centre's values: never a worse centre (Lloyd 1982); one that has none stays."""
    counts = np.bincount(codes, minlength=len(centres))
    sums = np.bincount(codes, weights=values, minlength=len(centres))
    return np.where(counts > 0, sums / np.maximum(counts, 1), centres)


def _find_nearest(values: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of the nearest of ascending centres for each value."""
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values).astype(np.int64)


class TrainCodebooks(Hook):
    """Trains the centres: each moves by the mean of what the optimizer did to its weights.

    That is the optimizer's step projected onto the weights that the codebook can express, so that a learning rate which
    suits the weights suits the centres. Han et al. 2016 (arXiv:1510.00149) take the sum, a centre's own gradient: of
    100,000 weights it is 100,000 times as long, and no learning rate suits layers of several sizes.
    """

    def __init__(self, model: nn.Module, codes: Mapping[str, Tensor]) -> None:
        weights = {name: model.get_parameter(f"{name}.weight") for name in codes}
        self._layers = [(weights[name], layer.reshape(-1).to(weights[name].device)) for name, layer in codes.items()]
        self._counts = [torch.bincount(codes).clamp_min(1) for _, codes in self._layers]
        self._before: list[Tensor] = []

    def before_step(self, done: float) -> None:  # noqa: ARG002 - a hook's signature
        """Keep the weights that the step starts from."""
        self._before = [weight.detach().clone() for weight, _ in self._layers]

    def after_step(self, learning_rate: float) -> None:  # noqa: ARG002 - a hook's signature
        """Move all weights of a centre by the mean of their steps."""
        for (weight, codes), counts, before in zip(self._layers, self._counts, self._before, strict=True):
            step = (weight - before).reshape(-1).double()
            moved = torch.bincount(codes, weights=step) / counts
            weight.copy_(before + moved[codes].to(weight.dtype).reshape(weight.shape))
