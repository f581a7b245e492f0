"""A model run on real samples: its inputs in their order, its outputs flat and named, whatever forward returns."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from toolchain.errors import usage

Inputs = tuple[Tensor, ...]
"""One tensor for each positional parameter of forward, the first axis of each = samples."""


def find_device(model: nn.Module) -> torch.device:
    """Return where the model's weights are; the CPU for one that has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def list_outputs(result: Any) -> list[Tensor]:
    """Return the tensors of nested tuples, lists and dicts, in their order; what is no tensor is left out."""
    return list(name_outputs(result).values())


def name_outputs(result: Any) -> dict[str, Tensor]:
    """Return them by name: "output" where there is one alone, else the keys and places that lead to each."""
    found = list(_walk(result, ""))
    return {name or "output": tensor for name, tensor in found}


def call_model(model: nn.Module, inputs: Inputs) -> Any:
    """Return what forward returns, in evaluation mode; gradients and errors are as they are."""
    device = find_device(model)
    # Copies: a module may change its input in place.
    return model.eval()(*(tensor.to(device, copy=True) for tensor in inputs))


def run_model(model: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
    """Return the outputs in evaluation mode, without gradients.

    Raises ToolchainError (exit 2) where the model fails on its inputs or returns no tensor.
    """
    try:
        with torch.no_grad():
            outputs = name_outputs(call_model(model, inputs))
    except Exception as error:  # a user's module may raise anything
        raise usage(
            "the model fails on the calibration samples",
            where=f"{type(model).__name__}.forward",
            expected=f"a forward that takes samples {describe_inputs(inputs)}",
            found=f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}",
            fix="let the data have one array per parameter of forward, in their order and in the shapes they are made for",
        ) from error
    if not outputs:
        raise usage("the model returns no tensor", where=f"{type(model).__name__}.forward", fix="return its outputs")
    return outputs


def describe_inputs(inputs: Inputs) -> str:
    """Return the shape of one sample of each input, for messages."""
    return ", ".join(f"{str(tensor.dtype).removeprefix('torch.')}{tuple(tensor.shape[1:])}" for tensor in inputs)


def copy_model(model: nn.Module) -> nn.Module:
    """Return a copy with weights of its own; raises ToolchainError (exit 2) for a model that cannot be copied."""
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a user's module may hold anything
        raise usage(
            "the model cannot be copied",
            where=type(model).__name__,
            expected="a module that copy.deepcopy copies",
            found=f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}",
            fix="keep no open files, locks or tensors with a gradient in its attributes",
        ) from error


def _walk(result: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(result, Tensor):
        yield name, result
    elif isinstance(result, Mapping):
        for key, value in result.items():
            yield from _walk(value, f"{name}.{key}" if name else str(key))
    elif isinstance(result, tuple | list):
        for index, value in enumerate(result):
            yield from _walk(value, f"{name or 'output'}_{index}")
