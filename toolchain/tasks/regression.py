"""Regression: numbers for each sample, of the shape of the first output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from toolchain.agent.measure.targets import Ragged
from toolchain.data.dataset import Samples, name_sample
from toolchain.errors import usage
from toolchain.project.toml_file import Section
from toolchain.tasks.outputs import refuse_first, take_first

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "numbers for each sample"
METRIC = "mae"
VALUES = "values"
TARGETS = (VALUES,)
DECODER = None
CLASS_AXIS = None
MOVES = None


class Options(Section):
    """Which distance."""

    distance: Literal["l1", "l2", "huber"] = "l2"


def make_loss(options: Options) -> TaskLoss:
    """Return the mean distance of the first output from the values, of the same shape."""
    import torch.nn.functional as F

    measure = {"l1": F.l1_loss, "l2": F.mse_loss, "huber": F.smooth_l1_loss}[options.distance]

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        _, output = take_first(outputs)
        values = targets[VALUES]
        return measure(output, values.reshape(output.shape).to(output.dtype))  # type: ignore[union-attr]

    return loss


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) values of another shape than the output's, and those that are no numbers."""
    del options, classes
    _, output = take_first(outputs)
    values = samples.targets[VALUES]
    if isinstance(values, Ragged) or values[:1].size != output[:1].size:
        shape = "several rows for each sample" if isinstance(values, Ragged) else str(values.shape[1:])
        raise refuse_first("regression", outputs, f"of the values: {shape}")
    wrong = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1).astype(np.float64)).all(axis=1))
    if len(wrong):
        raise usage(
            "a value to learn is no number",
            where=f"{where}: {name_sample(samples, int(wrong[0]))}",
            expected="finite numbers",
            found=f"NaN or infinity in {len(wrong)} of {len(values)} samples",
            fix="leave these samples out",
        )
