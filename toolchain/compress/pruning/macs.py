"""Multiply-accumulates of a PyTorch model, counted while it runs."""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from toolchain.compress.outputs import Inputs, call_model


def count_macs(model: nn.Module, inputs: Inputs) -> int:
    """Return the multiply-accumulates of convolutions, linear and recurrent layers and attention for these inputs.

    Gradients stay enabled, attention and LSTM take their plain form: the counter does not know the fused operators.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this machine has no GPU of Intel's
        plain = torch.backends.mkldnn.flags(enabled=False)
        with plain, sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            call_model(model, inputs)
    return int(counter.get_total_flops()) // 2  # two operations to a multiply-accumulate
