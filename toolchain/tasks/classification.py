"""Classification: one class for each sample, by the cross entropy of its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from toolchain.agent.measure.targets import LABELS
from toolchain.data.dataset import Samples
from toolchain.data.labels import check_labels
from toolchain.project.toml_file import Section
from toolchain.tasks.outputs import refuse_first, take_first, view_scores

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "one class for each sample"
METRIC = "top1"
TARGETS = (LABELS,)
DECODER = None
CLASS_AXIS = 1
MOVES: Mapping[str, str] = {}


class Options(Section):
    """How the loss is changed."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


def make_loss(options: Options) -> TaskLoss:
    """Return the cross entropy of the first output, scores `(N, classes)`."""
    import torch.nn.functional as F

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        scores = view_scores("classification", outputs)
        return F.cross_entropy(scores, targets[LABELS], label_smoothing=options.label_smoothing)  # type: ignore[arg-type]

    return loss


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) an output that is no scores, and labels that are none of them."""
    del options
    _, scores = take_first(outputs)
    if scores.ndim < 2 or scores.shape[0] * scores.shape[1] != scores.size:
        raise refuse_first("classification", outputs, "(N, classes)")
    check_labels(samples, outputs=scores.shape[1], where=where, classes=classes)
