"""The task metric of a PyTorch model."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import nn

from toolchain.data.dataset import IMAGE_INPUT, Samples
from toolchain.errors import usage

_BATCH_SIZE = 256  # larger ones are not faster on a CPU


def measure_top1(model: nn.Module, samples: Samples, *, accelerator: Accelerator) -> float:
    """Return the share of samples whose largest logit is at their label, in float32, as a fraction."""
    labels = samples.labels
    if labels is None:
        raise usage("the data has no labels to measure with", where="data", fix="name a data set with labels")
    model.to(accelerator.device).eval()
    correct = torch.zeros((), dtype=torch.int64, device=accelerator.device)
    starts = range(0, len(samples), _BATCH_SIZE)[accelerator.process_index :: accelerator.num_processes]
    with torch.inference_mode():
        for start in starts:
            stop = min(start + _BATCH_SIZE, len(samples))
            images = torch.from_numpy(samples.batch(start, stop)[IMAGE_INPUT]).to(accelerator.device)
            expected = torch.from_numpy(labels[start:stop]).to(accelerator.device)
            correct += (model(images).argmax(dim=1) == expected).sum()
    return int(accelerator.reduce(correct, reduction="sum")) / len(samples)
