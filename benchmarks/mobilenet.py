"""A plausible mobilenet_v2 at 224 without its public weights: random filters, batch-norm statistics of real pictures.

Random filters alone blow activations up or let them die; with the statistics of Fashion-MNIST pictures scaled to 224,
every layer has the range that training would give it. Latency does not depend on the values of weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import nn

from toolchain.data import load_dataset
from toolchain.module.weights import save_weights

_SEED = 0
# Random filters amplify noise from layer to layer as trained ones do not: quantize_static keeps 10.7 dB here. The gate is
# set where it stands, so that both are compared at the same quality.
_SQNR_DB_MIN = 10.0
_SIZE = 224


def read_pictures(start: int, stop: int) -> NDArray[np.float32]:
    """Return Fashion-MNIST pictures of the small set's calibration part, scaled to 224: float32 (n, 3, 224, 224)."""
    pictures = torch.from_numpy(load_dataset("fashion_mnist_small", {}).calibration.batch(start, stop)["input"])
    scaled = nn.functional.interpolate(pictures, size=_SIZE, mode="bilinear", align_corners=False)
    return np.ascontiguousarray(scaled.numpy())


def build_mobilenet() -> nn.Module:
    """Return the module in evaluation mode; the same on every call."""
    torch.manual_seed(_SEED)
    model = torchvision.models.mobilenet_v2(weights=None)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain average over all batches
    model.train()
    with torch.no_grad():
        for start in range(256, 320, 16):
            model(torch.from_numpy(read_pictures(start, start + 16)))
    return model.eval()


def write_mobilenet_recipe(folder: Path, *, samples: int = 128) -> Path:
    """Write weights, data (samples pictures) and recipe into a folder, and return the recipe's path."""
    save_weights(build_mobilenet(), folder / "weights.safetensors", {"made_by": "benchmarks/mobilenet.py"})
    np.savez(folder / "pictures.npz", input=read_pictures(0, samples))
    (folder / "model.py").write_text(
        "import torchvision\n\n\ndef build():\n    return torchvision.models.mobilenet_v2(weights=None)\n",
        encoding="utf-8",
    )
    recipe = folder / "recipe.toml"
    recipe.write_text(
        '[model]\nbuild = "model.py:build"\nweights = "weights.safetensors"\n\n'
        f'[data]\nname = "npz"\noptions = {{ path = "{folder / "pictures.npz"}" }}\nmetric = "none"\n'
        f"calibration_samples = {samples}\n\n"
        f"[gates]\nsqnr_db_min = {{ int8 = {_SQNR_DB_MIN} }}\n",
        encoding="utf-8",
    )
    return recipe
