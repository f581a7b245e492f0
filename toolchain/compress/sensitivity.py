"""How much a model's outputs suffer when the weights of one layer alone are quantized."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from toolchain.compress.layers import Layer

_BATCH_SIZE = 64


@contextmanager
def replaced_weights(layers: dict[str, Layer], weights: dict[str, Tensor]) -> Iterator[None]:
    """Give layers other weights for a while."""
    kept = {name: layers[name].weight.detach().clone() for name in weights}
    with torch.no_grad():
        for name, weight in weights.items():
            layers[name].weight.copy_(weight)
        try:
            yield
        finally:
            for name, weight in kept.items():
                layers[name].weight.copy_(weight)


def run_model(model: nn.Module, images: Tensor) -> Tensor:
    """Return the outputs `(N, …)` of the model in evaluation mode for images `(N, C, H, W)`."""
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(part) for part in torch.split(images, _BATCH_SIZE)])


def measure_noise(outputs: Tensor, reference: Tensor) -> float:
    """Return the noise in the outputs by the power of the reference: 0 is none, 0.01 an SQNR of 20 dB."""
    power = float(reference.double().square().sum())
    noise = float((outputs - reference).double().square().sum())
    return noise / power if power > 0 else noise
