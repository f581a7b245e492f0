"""The train stage: from a recipe to weights that reach its metric."""

from toolchain.train.fit import (
    FitSettings,
    Loss,
    OnProgress,
    Progress,
    cross_entropy,
    fit,
    start_accelerator,
    stop_accelerator,
)
from toolchain.train.train import TrainResult, train_model

__all__ = [
    "FitSettings",
    "Loss",
    "OnProgress",
    "Progress",
    "TrainResult",
    "cross_entropy",
    "fit",
    "start_accelerator",
    "stop_accelerator",
    "train_model",
]
