"""Multi-label: any number of classes for each sample, by the binary cross entropy of each score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolchain.agent.measure.targets import LABELS, Ragged
from toolchain.data.dataset import Samples, name_sample
from toolchain.errors import usage
from toolchain.project.toml_file import Section
from toolchain.tasks.outputs import refuse_first, take_first, view_scores

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "any number of classes for each sample"
METRIC = "f1"
TARGETS = (LABELS,)
DECODER = None
CLASS_AXIS = None  # the scores of classes do not exclude each other
MOVES: Mapping[str, str] = {}


class Options(Section):
    """There are none."""


def make_loss(options: Options) -> TaskLoss:
    """Return the mean binary cross entropy of the first output, scores `(N, classes)`, with 0 or 1 for each class."""
    del options
    import torch.nn.functional as F

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        scores = view_scores("multi_label", outputs)
        return F.binary_cross_entropy_with_logits(scores, targets[LABELS].to(scores.dtype))  # type: ignore[union-attr]

    return loss


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) targets that are not 0 or 1 for each of the first output's scores."""
    del options, classes
    _, scores = take_first(outputs)
    chosen = samples.targets[LABELS]
    if isinstance(chosen, Ragged) or scores.ndim < 2 or chosen.shape[1:] != scores.shape[1:2]:
        raise refuse_first("multi_label", outputs, "(N, classes), one for each of the targets' classes")
    wrong = np.flatnonzero(~np.isin(chosen, (0, 1)).reshape(len(chosen), -1).all(axis=1))
    if len(wrong):
        raise usage(
            "a sample has a class neither wholly nor not at all",
            where=f"{where}: {name_sample(samples, int(wrong[0]))}",
            expected="0 or 1 for each class",
            found=str(chosen[wrong[0]])[:80],
            fix="write 1 for the classes that a sample has, and 0 for the others",
        )
