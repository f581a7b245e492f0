"""What a migration must know of the tensor in front of products: the range of each channel, and some of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.graph.session import HostSession
from toolchain.lower.each import count_cpus, do_each

# Of each sample, to compute a product's error with: the tensors of a whole calibration set would not fit memory. Half are
# those of the largest numbers, which few tokens have that no draw would find, and the others are drawn.
_ROWS = 32


@dataclass(frozen=True)
class Channels:
    """A tensor's last axis over samples: lows and highs (samples, channels), and rows (samples, up to 32, channels)."""

    lows: NDArray[np.float32]
    highs: NDArray[np.float32]
    rows: tuple[NDArray[np.float32], ...]

    def split(self) -> tuple[Channels, Channels]:
        """Return the samples to choose by, and others to judge the choice by."""
        half = len(self.rows) // 2
        first, second = (
            Channels(lows=self.lows[part], highs=self.highs[part], rows=self.rows[part])
            for part in (slice(half), slice(half, None))
        )
        return first, second


def observe_channels(
    model: onnx.ModelProto, tensors: Sequence[str], feeds: Sequence[Mapping[str, NDArray[Any]]]
) -> dict[str, Channels]:
    """Return the channels of each tensor that is finite on all samples, and has values on at least two of them."""
    session = HostSession(model, tensors=tensors)
    generator = np.random.default_rng(0)
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in tensors}
    bounds: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {name: [] for name in tensors}
    for values in do_each(session.run, feeds, workers=count_cpus()):
        for name, value in values.items():
            if value.size == 0 or value.ndim == 0:
                continue
            rows = value.reshape(-1, value.shape[-1]).astype(np.float32)
            bounds[name].append((rows.min(axis=0), rows.max(axis=0)))
            found[name].append(rows[_choose_rows(rows, generator)])
    return {
        name: Channels(
            lows=np.stack([low for low, _ in bounds[name]]),
            highs=np.stack([high for _, high in bounds[name]]),
            rows=tuple(rows),
        )
        for name, rows in found.items()
        if len(rows) > 1 and all(np.isfinite(pair).all() for pair in bounds[name])
    }


def _choose_rows(rows: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.intp]:
    """Return which rows to keep: those with the largest numbers, and as many others by chance."""
    ranked = np.argsort(-np.abs(rows).max(axis=1), kind="stable")
    others = generator.permutation(ranked[_ROWS // 2 :])
    return np.concatenate([ranked[: _ROWS // 2], others[: _ROWS // 2]])
