"""Gives a model new weights, as its layers draw them when they are built."""

from __future__ import annotations

import torch
from torch import nn

from toolchain.errors import usage


def initialize_anew(model: nn.Module, *, seed: int, where: str) -> None:
    """Draw all weights of the model anew, in place, by each layer's own default; the caller's generator is untouched.

    Raises ToolchainError (exit 2) for a module with weights of its own that cannot do so.
    """
    owners = {
        name: module
        for name, module in model.named_modules()
        if [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    }
    for name, module in owners.items():
        if not callable(getattr(module, "reset_parameters", None)):
            raise usage(
                "the model cannot be trained from scratch: a module does not say how its weights begin",
                where=f"{where}: from_scratch",
                expected="modules with reset_parameters()",
                found=f"{name or 'the model itself'} ({type(module).__name__})",
                fix="give it that method, or leave from_scratch out",
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in owners.values():
            module.reset_parameters()
