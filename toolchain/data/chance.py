"""Chance: what a model scores that has learned nothing, and whether another is proven to be better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.metrics import Metric
from toolchain.agent.measure.targets import LABELS, TargetArray
from toolchain.errors import usage

# As everywhere in the verdict (agent/measure/quantiles.py).
CONFIDENCE = 0.99

# A model that has learned something is told from chance by the first look or two; another sees no more than this, in
# seconds.
_SAMPLES_MAX = 2000
_LOOK_EVERY = 64
# All looks on the way together err far less often than the last one may: 2000 / 64 · 1e-6 < 1e-4.
_SURE = 1e-6


def answers_right(metric: Metric, scores: NDArray[Any], label: int) -> bool:
    """Return whether a metric over class labels has its best value for one sample: scores `(1, classes)`, and its label."""
    tally = metric.start()
    tally.add(dict.fromkeys(metric.OUTPUTS or ("output",), scores), {LABELS: np.array([label], dtype=np.int64)})
    return tally.compute() == metric.SCALE.best


def measure_chance(metric: Metric, labels: NDArray[np.int64], classes: int) -> float:
    """Return the share of samples that the best constant answer has right: the more frequent a class, the larger its score.

    Of a metric of one answer that is the share of the most frequent label, never below the 1 / classes of guessing.
    """
    counts = np.bincount(labels, minlength=classes)
    scores = np.empty((1, len(counts)))
    scores[0, np.argsort(counts, kind="stable")] = np.arange(len(counts))
    right = [answers_right(metric, scores, int(label)) for label in np.flatnonzero(counts)]
    return float(counts[np.flatnonzero(counts)][right].sum() / len(labels))


def find_chance(metric: Metric, targets: Mapping[str, TargetArray]) -> float | None:
    """Return what the best constant answer scores on these targets; None for a metric of other targets than class labels."""
    labels = targets.get(LABELS)
    if tuple(metric.TARGETS) != (LABELS,) or not isinstance(labels, np.ndarray) or labels.ndim != 1 or not len(labels):
        return None
    return measure_chance(metric, labels.astype(np.int64), int(labels.max()) + 1)


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


def judge_float_model(
    is_right: Callable[[int], bool], labels: NDArray[np.int64], *, chance: float, where: str
) -> list[str]:
    """Refuse a model that is not proven to be better than the best constant answer; return what cannot be told.

    Args:
        is_right: From the index of a sample to whether the model has it right.
        labels: The class of each sample, `(N,)`.
        chance: The share that the best constant answer has right.
        where: The data, for the message.

    Samples are asked in a drawn order, as files often lie sorted by class. Raises ToolchainError (exit 2).
    """
    order = np.random.default_rng(0).permutation(len(labels))[:_SAMPLES_MAX]
    hits = done = 0
    for done, index in enumerate(order.tolist(), start=1):
        hits += is_right(index)
        if done % _LOOK_EVERY == 0 and compute_luck(hits, done, chance) < _SURE:
            return []
    if compute_luck(hits, done, chance) <= 1 - CONFIDENCE:
        return []
    constant = int(np.bincount(labels).argmax())
    if chance < 1 and chance**done > 1 - CONFIDENCE and hits > chance * done:
        warning = (
            f"{done} evaluation samples are too few to tell the float model from chance: {hits} are right, and always "
            f"answering the most frequent first (class {constant}) has {chance:.0%} right"
        )
        return [warning]
    raise usage(
        "the float model is not better than chance",
        where=where,
        expected=f"more than {chance:.2%} right, which always answering the most frequent first (class {constant}) has, at "
        f"{CONFIDENCE:.0%} confidence",
        found=f"{hits} of {done} samples ({hits / done:.2%})",
        fix="check that the weights, the labels and their order belong together, and give samples of every class; "
        'metric = "none" judges a model without labels',
    )
