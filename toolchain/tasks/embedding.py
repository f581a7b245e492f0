"""Embedding: vectors whose neighbours are of the same identity, by the cross entropy of their likeness.

Samples of a batch that share an identity attract each other, all others push (supervised contrastive learning, Khosla et
al. 2020, arXiv:2004.11362).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from toolchain.agent.measure.targets import Ragged
from toolchain.data.dataset import Samples
from toolchain.errors import usage
from toolchain.project.toml_file import Section
from toolchain.tasks.outputs import refuse_first, take_first

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "vectors that are near each other for the same identity"
METRIC = "recall_at_k"
IDENTITY = "identity"
TARGETS = (IDENTITY,)
DECODER = None
CLASS_AXIS = None
MOVES: Mapping[str, str] = {}


class Options(Section):
    """How sharply likeness is judged."""

    temperature: Annotated[float, Field(gt=0)] = 0.1


def make_loss(options: Options) -> TaskLoss:
    """Return the loss of the first output, vectors `(N, size)` of any length, with an identity each."""
    import torch
    import torch.nn.functional as F

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        _, vectors = take_first(outputs)
        identity = torch.as_tensor(targets[IDENTITY])
        vectors = F.normalize(vectors.flatten(1).float(), dim=1)
        itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
        likeness = (vectors @ vectors.T / options.temperature).masked_fill(itself, float("-inf"))
        others = (identity[:, None] == identity[None, :]) & ~itself
        paired = others.any(dim=1)
        if not bool(paired.any()):
            return vectors.sum() * 0.0  # a batch without a pair teaches nothing
        logs = likeness.log_softmax(dim=1).masked_fill(~others, 0.0)
        return -(logs.sum(dim=1)[paired] / others.sum(dim=1)[paired]).mean()

    return loss


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) an output that is no vectors, and identities that are not one number a sample."""
    del options, classes
    _, vectors = take_first(outputs)
    identity = samples.targets[IDENTITY]
    if vectors.ndim < 2:
        raise refuse_first("embedding", outputs, "(N, size)")
    if isinstance(identity, Ragged) or identity.shape != (len(samples),):
        raise usage(
            "the identities do not fit the samples",
            where=where,
            expected=f"one number for each of {len(samples)} samples",
            found="several rows a sample" if isinstance(identity, Ragged) else f"shape {identity.shape}",
            fix="give the same number to samples of the same identity",
        )
