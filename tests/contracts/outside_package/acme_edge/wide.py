"""The bounds that were observed."""

from toolchain.lower.ranges import TensorRange

COUNTS = False


def choose_range(observation, *, symmetric):
    """Return the bounds."""
    low, high = min(observation.low, 0.0), max(observation.high, 0.0)
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    return TensorRange(low=low, high=high)
