"""Tokens: a class for each token of a sequence, by the cross entropy of its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolchain.agent.measure.targets import Ragged
from toolchain.data.dataset import Samples, name_sample
from toolchain.errors import usage
from toolchain.project.toml_file import Section
from toolchain.tasks.outputs import refuse_first, take_first

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "a class for each token"
METRIC = "token_f1"
TAGS = "tags"
TARGETS = (TAGS,)
DECODER = "token_argmax"
CLASS_AXIS = 2
MOVES: Mapping[str, str] = {}
IGNORED = -100
"""The class number of padding, and of the pieces of a word after its first (the habit of transformers)."""


class Options(Section):
    """There are none."""


def describe_decoder(options: Options) -> dict[str, Any]:
    """Return the options of the decoder."""
    del options
    return {}


def make_loss(options: Options) -> TaskLoss:
    """Return the mean cross entropy over the tokens that count, of the first output `(N, tokens, classes)`."""
    del options
    import torch
    import torch.nn.functional as F

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        _, scores = take_first(outputs)
        tags = torch.as_tensor(targets[TAGS]).long()
        total = F.cross_entropy(scores.flatten(0, 1), tags.flatten(), ignore_index=IGNORED, reduction="sum")
        return total / (tags != IGNORED).sum().clamp(min=1)

    return loss


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) tags of another length than the first output's, and class numbers that it has no score for."""
    del options, classes
    _, scores = take_first(outputs)
    tags = samples.targets[TAGS]
    if isinstance(tags, Ragged) or scores.ndim != 3 or tags.shape[1:] != scores.shape[1:2]:
        raise refuse_first("tokens", outputs, "(N, tokens, classes), with a tag for each token")
    wrong = (tags != IGNORED) & ((tags < 0) | (tags >= scores.shape[2]))
    for index in np.flatnonzero(wrong.any(axis=1))[:1]:
        raise usage(
            "a tag is none of the model's classes",
            where=f"{where}: {name_sample(samples, int(index))}",
            expected=f"0 to {scores.shape[2] - 1}, or {IGNORED} for what does not count",
            found=str(tags[index][wrong[index]][0]),
            fix="count classes from 0, or bring a model with an output for every class",
        )
