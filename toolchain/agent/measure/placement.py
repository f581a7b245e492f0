"""Placement: the precision that each layer of a payload really ran at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple


@dataclass(frozen=True)
class Layer:
    """A node of the graph that the runtime executed. `macs` is None where they cannot be counted.

    moved_bytes are those of its inputs, weights and outputs, each once; None where the runtime does not tell.
    """

    name: str
    op: str
    precision: str
    macs: Optional[int]
    moved_bytes: Optional[int] = None


@dataclass(frozen=True)
class Placement:
    """The layers that do multiply-accumulates (MACs), in the order of their execution."""

    layers: Tuple[Layer, ...]

    @property
    def macs(self) -> int:
        """The MACs of one run, of the layers whose MACs can be counted."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def uncounted(self) -> Tuple[Layer, ...]:
        """The layers that do work which cannot be counted, so that no share of theirs is known."""
        return tuple(layer for layer in self.layers if layer.macs is None)

    @property
    def precision_share_macs(self) -> Dict[str, float]:
        """The share of the counted MACs by precision; they add up to 1, or the result is empty."""
        shares: Dict[str, float] = {}
        total = self.macs
        for layer in self.layers:
            if layer.macs:
                shares[layer.precision] = shares.get(layer.precision, 0.0) + layer.macs / total
        return {precision: round(share, 6) for precision, share in sorted(shares.items())}
