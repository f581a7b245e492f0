"""Whether a model's answers belong to their samples: they must fit these better than the targets of others.

A permutation test (Fisher 1935): where exchanging the targets changes nothing, the model has learnt nothing of its inputs.
It asks nothing of the metric but its value, so that it serves boxes, masks, texts and numbers alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.manifest import TRUTH_LABELS
from toolchain.agent.measure.bootstrap import estimate_drop
from toolchain.agent.measure.gates.metric import choose_drop_max
from toolchain.agent.measure.quantities import write_difference, write_value
from toolchain.agent.measure.scoring import Scoring, ScoringTally
from toolchain.agent.measure.targets import TargetArray, slice_target, take_target_rows
from toolchain.errors import usage

Arrays = Mapping[str, NDArray[Any]]

_FIX = (
    "check that the weights, the targets, their order and the preprocessing belong together; "
    'metric = "none" judges a model without targets'
)

# A model that has learnt something is told from one that has not by far fewer. Where it is not, a second look has no more
# than those that class labels are asked for (data/chance.py).
_LOOKS = (256, 2000)
# Of so many samples one of a hundred shows: a lead that does not is none that a gate on the drop can watch over.
_ENOUGH = _LOOKS[0]


def judge_by_permutation(
    scoring: Scoring,
    answer: Callable[[int], tuple[Arrays, Arrays]],
    targets: Mapping[str, TargetArray],
    *,
    drop_max: float | None,
    where: str,
) -> list[str]:
    """Refuse (exit 2) a model whose answers fit the targets of other samples as well; return what cannot be told.

    Args:
        scoring: How it is scored.
        answer: From the index of a sample to its inputs and the model's outputs, each `(1, …)`.
        targets: Of all samples, by name.
        drop_max: The recipe's limit; None is the default, which answers that belong to other samples must not pass.
        where: The data, for messages.
    """
    samples = len(next(iter(targets.values())))
    order = np.random.default_rng(0).permutation(samples)
    for chosen in [order[:count] for count in sorted({min(count, samples) for count in _LOOKS})]:
        right, wrong = _measure(scoring, answer, targets, chosen)
        drop = estimate_drop(right.metric, wrong.metric, scoring.scale)
        if drop.drop <= 0 or drop.lower is None or drop.lower > 0:
            break
    own_value, other_value = (write_value(tally.compute(), scoring.scale.unit) for tally in (right, wrong))
    is_undecided = drop.lower is not None and drop.lower <= 0
    if drop.drop <= 0 or (is_undecided and len(chosen) >= _ENOUGH):
        raise usage(
            "the float model is not better than chance: its answers fit the targets of other samples as well",
            where=where,
            expected=f"a {scoring.name} surely better than {other_value}, which the targets of other samples have",
            found=f"{own_value} on {len(chosen)} samples",
            fix=_FIX,
        )
    limit = choose_drop_max(scoring.scale, None, right.compute(), TRUTH_LABELS)
    if drop_max is None and drop.drop <= limit:
        raise usage(
            "the gate on the metric proves nothing: answers that belong to other samples pass it",
            where=where,
            expected=f"a {scoring.name} better than {other_value}, which the targets of other samples have, by more than "
            f"{write_difference(limit, scoring.scale.unit)}, which the gate lets drop where the recipe does not say it",
            found=f"{own_value} on {len(chosen)} samples",
            fix=f"{_FIX}; or set gates.metric_drop_max",
        )
    if is_undecided:
        return [
            (
                f"{len(chosen)} evaluation samples are too few to tell the float model from chance: {scoring.name} is {own_value}, "
                f"with the targets of other samples {other_value}"
            )
        ]
    return []


def _measure(
    scoring: Scoring,
    answer: Callable[[int], tuple[Arrays, Arrays]],
    targets: Mapping[str, TargetArray],
    chosen: NDArray[np.int64],
) -> tuple[ScoringTally, ScoringTally]:
    """Return what the answers to these samples score with their own targets, and with those of others."""
    own = {name: take_target_rows(target, chosen) for name, target in targets.items()}
    # Each has another's: a turn of a drawn order, in which neighbours are nothing to each other.
    others = {name: take_target_rows(target, np.roll(np.arange(len(chosen)), 1)) for name, target in own.items()}
    right, wrong = scoring.start(), scoring.start()
    for row, index in enumerate(chosen.tolist()):
        inputs, outputs = answer(index)
        for tally, given in ((right, own), (wrong, others)):
            tally.add(outputs, {name: slice_target(target, row, row + 1) for name, target in given.items()}, inputs)
    return right, wrong
