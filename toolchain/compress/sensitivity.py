"""How much a model's outputs suffer when the weights of one layer alone are quantized."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from toolchain.compress.layers import Weighted
from toolchain.compress.outputs import Inputs, run_model

_BATCH_SIZE = 64


@contextmanager
def replaced_weights(layers: Mapping[str, Weighted], weights: Mapping[str, Tensor]) -> Iterator[None]:
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


def run_batches(model: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
    """Return each output of the model in evaluation mode, over all samples, as one vector."""
    parts = [run_model(model, part) for part in zip(*(torch.split(own, _BATCH_SIZE) for own in inputs), strict=True)]
    return {name: torch.cat([part[name].reshape(-1) for part in parts]) for name in parts[0]}


def measure_noise(outputs: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> float:
    """Return the noise by the power of the reference, over the outputs: 0 is none, 0.01 an SQNR of 20 dB in one."""
    return sum(_measure_ratio(outputs[name], tensor) for name, tensor in reference.items())


def _measure_ratio(output: Tensor, reference: Tensor) -> float:
    power = float(reference.double().square().sum())
    noise = float((output.double() - reference.double()).square().sum())
    return noise / power if power > 0 else noise
