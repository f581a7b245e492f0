"""Whether a decoder reads what the model returns: one that answers from the inputs alone passes with any model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.metrics import Targets
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import Ragged, TargetArray
from toolchain.errors import usage

Arrays = Mapping[str, NDArray[Any]]

# The first or second shows it of a decoder that reads; a detector may find nothing in many.
_SAMPLES_MAX = 256


def refuse_blind_decoder(
    scoring: Scoring, answer: Callable[[int], tuple[Arrays, Arrays]], *, samples: int, where: str
) -> None:
    """Refuse (exit 2) a decoder that makes the same of a sample's inputs whatever the model's outputs are.

    Args:
        scoring: How a model is scored; nothing is asked where no decoder is.
        answer: From the index of a sample to its inputs and the model's outputs, each `(1, …)`.
        samples: How many evaluation samples there are.
        where: What names the decoder, for messages.
    """
    if not scoring.is_decoded:
        return
    others: Arrays | None = None
    for index in np.random.default_rng(0).permutation(samples)[:_SAMPLES_MAX].tolist():
        inputs, outputs = answer(index)
        if others is not None and not _is_same(scoring.decode(outputs, inputs), scoring.decode(others, inputs)):
            return
        others = outputs
    raise usage(
        "the decoder makes the same of every output of the model: any model would pass",
        where=where,
        expected="other answers from another sample's outputs",
        found=f"the same ones on {min(samples, _SAMPLES_MAX)} samples",
        fix="read the outputs in the decoder; or, where the model answers all samples alike, give samples that differ",
    )


def _is_same(first: Targets, second: Targets) -> bool:
    return all(_is_equal(first[name], second[name]) for name in first)


def _is_equal(first: TargetArray, second: TargetArray) -> bool:
    if isinstance(first, Ragged) and isinstance(second, Ragged):
        return np.array_equal(first.offsets, second.offsets) and np.array_equal(first.values, second.values)
    return np.array_equal(np.asarray(first), np.asarray(second))
