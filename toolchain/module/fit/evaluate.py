"""The task metric of a PyTorch model."""

from __future__ import annotations

import contextlib
import sys

import torch
from accelerate import Accelerator
from torch import nn

from toolchain.data.dataset import Samples
from toolchain.errors import usage
from toolchain.module.forward import bind_inputs, take_main_output

_BATCH_SIZE = 256  # larger ones are not faster on a CPU


def measure_top1(model: nn.Module, samples: Samples, *, accelerator: Accelerator) -> float:
    """Return the share of samples whose largest logit is at their label, in float32, as a fraction.

    Of several outputs the first is the logits `(N, classes)`; a sample with a NaN among them is wrong.
    """
    labels = samples.labels
    if labels is None:
        raise usage("the data has no labels to measure with", where="data", fix="name a data set with labels")
    model.to(accelerator.device).eval()
    correct = torch.zeros((), dtype=torch.int64, device=accelerator.device)
    starts = range(0, len(samples), _BATCH_SIZE)[accelerator.process_index :: accelerator.num_processes]
    call = bind_inputs(model, list(samples.batch(0, 1)))
    with torch.inference_mode(), contextlib.redirect_stdout(sys.stderr):
        for start in starts:
            stop = min(start + _BATCH_SIZE, len(samples))
            arrays = samples.batch(start, stop)
            inputs = {name: torch.from_numpy(array).to(accelerator.device) for name, array in arrays.items()}
            logits = take_main_output(call.run(model, inputs))
            expected = torch.from_numpy(labels[start:stop]).to(accelerator.device)
            correct += ((logits.argmax(dim=1) == expected) & ~logits.isnan().any(dim=1)).sum()
    return int(accelerator.reduce(correct, reduction="sum")) / len(samples)
