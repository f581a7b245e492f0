"""Chance: what a model scores that has learned nothing, and whether another is proven to be better."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import usage

# As everywhere in the verdict (agent/measure/quantiles.py).
CONFIDENCE = 0.99

# A model that has learned something is told from chance by the first look or two; another sees no more than this, in
# seconds.
_SAMPLES_MAX = 2000
_LOOK_EVERY = 64
# All looks on the way together err far less often than the last one may: 2000 / 64 · 1e-6 < 1e-4.
_SURE = 1e-6


def measure_chance(labels: NDArray[np.int64]) -> float:
    """Return the accuracy of the best constant answer: the share of the most frequent label, as a fraction.

    It is never below 1 / classes, which guessing reaches.
    """
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def compute_luck(hits: int, samples: int, chance: float) -> float:
    """Return the probability of at least so many hits where each sample is one with the probability `chance`."""
    if hits <= 0 or chance >= 1:
        return 1.0
    successes = np.arange(hits, samples + 1)
    log_ways = [
        math.lgamma(samples + 1) - math.lgamma(count + 1) - math.lgamma(samples - count + 1) for count in successes
    ]
    log_shares = successes * math.log(chance) + (samples - successes) * math.log1p(-chance)
    return float(min(1.0, np.exp(np.array(log_ways) + log_shares).sum()))


def judge_float_model(predict: Callable[[int], int], labels: NDArray[np.int64], *, where: str) -> list[str]:
    """Refuse a model that is not proven to be better than the best constant answer; return what cannot be told.

    Args:
        predict: From the index of a sample to the class that the model gives it.
        labels: The class of each sample, `(N,)`.
        where: The data, for the message.

    Samples are asked in a drawn order, as files often lie sorted by class. Raises ToolchainError (exit 2).
    """
    chance = measure_chance(labels)
    order = np.random.default_rng(0).permutation(len(labels))[:_SAMPLES_MAX]
    hits = done = 0
    for done, index in enumerate(order.tolist(), start=1):
        hits += predict(index) == labels[index]
        if done % _LOOK_EVERY == 0 and compute_luck(hits, done, chance) < _SURE:
            return []
    if compute_luck(hits, done, chance) <= 1 - CONFIDENCE:
        return []
    constant = int(np.bincount(labels).argmax())
    if chance < 1 and chance**done > 1 - CONFIDENCE and hits > chance * done:
        warning = (
            f"{done} evaluation samples are too few to tell the float model from chance: {hits} are right, and always "
            f"answering {constant} has {chance:.0%} right"
        )
        return [warning]
    raise usage(
        "the float model is not better than chance",
        where=where,
        expected=f"more than {chance:.2%} right, which always answering class {constant} has, at {CONFIDENCE:.0%} "
        "confidence",
        found=f"{hits} of {done} samples ({hits / done:.2%})",
        fix="check that the weights, the labels and their order belong together, and give samples of every class; "
        'metric = "none" judges a model without labels',
    )
