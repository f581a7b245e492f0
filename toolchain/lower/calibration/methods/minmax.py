"""Min-max: the smallest and the largest value seen, equal to ONNX Runtime's MinMax calibration bit for bit."""

from __future__ import annotations

from toolchain.lower.calibration.observation import Observation
from toolchain.lower.ranges import TensorRange

COUNTS = False


def choose_range(observation: Observation, *, symmetric: bool) -> TensorRange:
    """Return the bounds, widened to include 0."""
    low, high = min(observation.low, 0.0), max(observation.high, 0.0)
    largest = max(-low, high)
    return TensorRange(low=-largest, high=largest) if symmetric else TensorRange(low=low, high=high)
