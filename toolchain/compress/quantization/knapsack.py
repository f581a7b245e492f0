"""The multiple-choice knapsack: one option for each item, the least cost within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Sizes are rounded up to this share of the budget, so that the budget holds for certain, and a better choice can only
# be missed where it is nearer to the budget than that for each item.
_STEPS = 10_000


@dataclass(frozen=True)
class Choice:
    """What an option takes of the budget, and what it costs."""

    size: float
    cost: float


def choose_options(items: Sequence[Sequence[Choice]], *, budget: float) -> list[int] | None:
    """Return the index of each item's option so that the sizes fit the budget at the least sum of costs.

    Solved by dynamic programming over the rounded budget (Dudzinski and Walukiewicz 1987), exactly but for the
    rounding. None: the smallest options do not fit.
    """
    if budget <= 0:
        return None
    width = _STEPS + 1
    best = np.zeros(width)
    picks: list[np.ndarray] = []
    steps = [[int(np.ceil(choice.size / budget * _STEPS)) for choice in choices] for choices in items]
    for choices, taken in zip(items, steps, strict=True):
        totals = np.full((len(choices), width), np.inf)
        for row, (choice, step) in enumerate(zip(choices, taken, strict=True)):
            if step < width:
                totals[row, step:] = best[: width - step] + choice.cost
        picks.append(totals.argmin(axis=0))
        best = totals.min(axis=0)
    if not np.isfinite(best[-1]):
        return None
    left = _STEPS
    chosen: list[int] = []
    for taken, pick in zip(reversed(steps), reversed(picks), strict=True):
        chosen.append(int(pick[left]))
        left -= taken[chosen[-1]]
    return chosen[::-1]
