"""Tensors that calibration has seen, and the ranges that methods choose for them."""

import numpy as np

from toolchain.lower.calibration import choose_ranges
from toolchain.lower.calibration.observation import Observation


def observe(values):
    observation = Observation(counting=True)
    assert observation.add(np.asarray(values, dtype=np.float32))
    return observation


def choose(method, values, *, symmetric=False):
    return choose_ranges({"x": observe(values)}, method=method, symmetric=symmetric)["x"]


def normal(size=200_000, seed=0):
    return np.random.default_rng(seed).standard_normal(size).astype(np.float32)
