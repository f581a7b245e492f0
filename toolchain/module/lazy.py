"""Gives lazy modules, whose shapes the first sample decides, their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.parameter import is_lazy

from toolchain.errors import usage
from toolchain.module.builder_failure import describe
from toolchain.module.forward import bind_inputs
from toolchain.module.pytorch_run import evaluation_mode


def materialize(model: nn.Module, sample: Mapping[str, NDArray[Any]]) -> None:
    """Run one sample (1, ...) per input through a module that has lazy parts, in place; others are left alone.

    Raises ToolchainError (exit 2) where the module fails on it, or a lazy part of it never runs.
    """
    if find_lazy(model) is None:
        return
    inputs = {name: torch.tensor(array) for name, array in sample.items()}
    try:
        with evaluation_mode(model), torch.no_grad():
            bind_inputs(model, list(inputs)).run(model, inputs)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise usage(
            "the lazy modules get no shapes: the module fails on its input",
            where=", ".join(f"{name} {array.dtype}{array.shape}" for name, array in sample.items()),
            found=describe(error),
            fix="check that the data set's samples have the shape and dtype that the module was made for",
        ) from error
    lazy = find_lazy(model)
    if lazy is not None:
        raise usage(
            "a lazy module never runs, so that its shape is unknown",
            where=f"module {lazy}",
            expected="every module at work in forward",
            found="none that forward calls",
            fix="remove it, or give its shape in place of the lazy one",
        )


def find_lazy(model: nn.Module) -> str | None:
    """Return the name of the first module that has no shape yet."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            return name.rpartition(".")[0] or type(model).__name__
    return None
