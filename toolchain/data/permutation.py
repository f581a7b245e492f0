"""Whether a model's answers belong to their samples: they must fit these better than the targets of others.

A permutation test (Fisher 1935): where exchanging the targets changes nothing, the model has learnt nothing of its inputs.
It asks nothing of the metric but its value, so that it serves boxes, masks, texts and numbers alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.bootstrap import estimate_drop
from toolchain.agent.measure.quantities import write_value
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import TargetArray, slice_target, take_target_rows
from toolchain.errors import usage

Arrays = Mapping[str, NDArray[Any]]

# A model that has learnt something is told from one that has not by far fewer.
_SAMPLES_MAX = 256


def judge_by_permutation(
    scoring: Scoring, answer: Callable[[int], tuple[Arrays, Arrays]], targets: Mapping[str, TargetArray], *, where: str
) -> list[str]:
    """Refuse (exit 2) a model whose answers fit the targets of other samples as well; return what cannot be told.

    Args:
        scoring: How it is scored.
        answer: From the index of a sample to its inputs and the model's outputs, each `(1, …)`.
        targets: Of all samples, by name.
        where: The data, for messages.
    """
    samples = len(next(iter(targets.values())))
    chosen = np.random.default_rng(0).permutation(samples)[:_SAMPLES_MAX]
    own = {name: take_target_rows(target, chosen) for name, target in targets.items()}
    # Each has another's: a turn of a drawn order, in which neighbours are nothing to each other.
    others = {name: take_target_rows(target, np.roll(np.arange(len(chosen)), 1)) for name, target in own.items()}
    right, wrong = scoring.start(), scoring.start()
    for row, index in enumerate(chosen.tolist()):
        inputs, outputs = answer(index)
        for tally, given in ((right, own), (wrong, others)):
            tally.add(outputs, {name: slice_target(target, row, row + 1) for name, target in given.items()}, inputs)
    drop = estimate_drop(right.metric, wrong.metric, scoring.scale)
    own_value, other_value = (write_value(tally.compute(), scoring.scale.unit) for tally in (right, wrong))
    if drop.drop <= 0:
        raise usage(
            "the float model is not better than chance: its answers fit the targets of other samples as well",
            where=where,
            expected=f"a {scoring.name} better than {other_value}, which the targets of other samples have",
            found=f"{own_value} on {len(chosen)} samples",
            fix="check that the weights, the targets and the preprocessing belong together; "
            'metric = "none" judges a model without targets',
        )
    if drop.lower is not None and drop.lower <= 0:
        return [
            (
                f"{len(chosen)} evaluation samples are too few to tell the float model from chance: {scoring.name} is {own_value}, "
                f"with the targets of other samples {other_value}"
            )
        ]
    return []
