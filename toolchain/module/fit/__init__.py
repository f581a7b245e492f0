"""The one loop that trains: a model from scratch, and what a compression method has to win back."""

from toolchain.module.fit.accelerator import start_accelerator, stop_accelerator
from toolchain.module.fit.batches import Batch, take_target_tensors
from toolchain.module.fit.evaluate import measure_metric
from toolchain.module.fit.loop import FitSettings, Hook, Loss, OnProgress, Progress, fit, learn
from toolchain.module.fit.watch import Watch, hold_out

__all__ = [
    "Batch",
    "FitSettings",
    "Hook",
    "Loss",
    "OnProgress",
    "Progress",
    "Watch",
    "fit",
    "hold_out",
    "learn",
    "measure_metric",
    "start_accelerator",
    "stop_accelerator",
    "take_target_tensors",
]
