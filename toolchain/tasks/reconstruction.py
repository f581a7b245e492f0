"""Reconstruction: the input itself, as an autoencoder learns it; what it cannot rebuild is an anomaly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from toolchain.data.dataset import Samples
from toolchain.project.toml_file import Section
from toolchain.tasks.itself import INPUT
from toolchain.tasks.outputs import refuse_first, take_first

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "the input itself: what cannot be rebuilt is an anomaly"
METRIC = "auc"
TARGETS = (INPUT,)
DECODER = "reconstruction_error"
CLASS_AXIS = None
MOVES = None


class Options(Section):
    """Which distance."""

    distance: Literal["l1", "l2"] = "l2"


def describe_decoder(options: Options) -> dict[str, Any]:
    """Return the options of the decoder."""
    return {"error": {"l1": "absolute", "l2": "squared"}[options.distance]}


def make_loss(options: Options) -> TaskLoss:
    """Return the mean distance of the first output from the input."""
    import torch.nn.functional as F

    measure = {"l1": F.l1_loss, "l2": F.mse_loss}[options.distance]

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        _, output = take_first(outputs)
        return measure(output, targets[INPUT].reshape(output.shape))  # type: ignore[union-attr]

    return loss


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) an output of another size than the input."""
    del options, where, classes
    _, output = take_first(outputs)
    given = next(iter(samples.batch(0, 1).values()))
    if output[:1].size != given.size:
        raise refuse_first("reconstruction", outputs, f"of the input: {given.shape}")
