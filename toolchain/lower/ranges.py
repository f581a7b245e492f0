"""The range of a tensor: what calibration finds, or a training learned, and quantization uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorRange:
    """The real interval that an 8-bit tensor represents; values outside saturate."""

    low: float
    high: float
    learned: bool = False
    """By quantization-aware training, and not calibrated."""
