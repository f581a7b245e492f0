"""What a recipe's compression did: size, MACs and the metric in PyTorch, before and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.agent.measure.targets import slice_target
from toolchain.stages.module import load_compressed, load_model
from toolchain.stages.run import Run

if TYPE_CHECKING:
    from torch import nn

# As many at a time as fit any memory that trained the model.
_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One model: its weights file, the MACs of one sample, and the metric on the evaluation samples."""

    size_bytes: int
    macs: int
    metric: float | None
    """None where no metric judges the model, or the float model's own answers do."""


def measure_effect(run: Run, weights: Path) -> Effect:
    """Return size, MACs and metric of the recipe's module with these weights."""
    import torch

    from toolchain.compress.pruning.macs import count_macs
    from toolchain.module.forward import bind_inputs

    bare, _ = load_compressed(run, weights)
    sample = run.data.calibration.batch(0, 1)
    names = bind_inputs(bare, list(sample)).names
    return Effect(
        size_bytes=weights.stat().st_size,
        macs=count_macs(bare, tuple(torch.tensor(sample[name]) for name in names)),
        metric=_measure_metric(run, load_model(run, weights)),
    )


def _measure_metric(run: Run, module: nn.Module) -> float | None:
    from toolchain.module.pytorch_run import run_pytorch

    if run.scoring is None or run.answer is not None:
        return None
    tally, targets, count = run.scoring.start(), run.take_targets(), run.count_evaluation()
    advance = run.progress.steps("measure the metric", count)
    for start in range(0, count, _BATCH):
        stop = min(start + _BATCH, count)
        batch = run.data.evaluation.batch(start, stop)
        part = {name: slice_target(target, start, stop) for name, target in targets.items()}
        tally.add(run_pytorch(module, batch), part, batch)
        advance(stop - start)
    return tally.compute()
