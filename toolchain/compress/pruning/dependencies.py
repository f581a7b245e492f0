"""Which channels of a model depend on each other: Torch-Pruning's graph of it (Fang et al. 2023, arXiv:2301.12900)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch_pruning
from torch import nn

from toolchain.compress.outputs import Inputs, call_model, list_outputs
from toolchain.errors import ToolchainError, usage

FAILURES = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError, ArithmeticError)
"""What building the graph or running a model raises when the model's own code cannot be followed."""


def build_graph(model: nn.Module, inputs: Inputs, *, method: str) -> torch_pruning.DependencyGraph:
    """Return which channels go with which; raises ToolchainError (exit 2) where the model cannot be followed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters outside of layers: _refuse_bound names them
        try:
            with keep_freeze(model):
                return torch_pruning.DependencyGraph().build_dependency(
                    model,
                    example_inputs=inputs,
                    forward_fn=call_model,
                    output_transform=lambda result: [out for out in list_outputs(result) if out.requires_grad],
                )
        except FAILURES as error:
            raise explain_failure(model, error, method) from error


@contextmanager
def keep_freeze(model: nn.Module) -> Iterator[None]:
    """Let gradients flow through frozen weights while the block runs: Torch-Pruning follows a model by them."""
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    model.requires_grad_(requires_grad=True)
    try:
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in frozen)


def explain_failure(model: nn.Module, error: Exception, method: str) -> ToolchainError:
    """Return the error (exit 2) for a model that Torch-Pruning cannot follow; error: what it raised."""
    recurrent = [name for name, module in model.named_modules() if isinstance(module, nn.RNNBase)]
    if recurrent:  # an LSTM is followed, too, where its outputs keep their order of axes
        found, fix = f"{recurrent[0]}, a recurrent layer", "use magnitude_pruning, which needs no order of channels"
    else:
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        fix = "leave this method out of the recipe"
    return usage(
        f"{method} cannot follow which channels depend on each other",
        where=type(model).__name__,
        expected="a model that Torch-Pruning can trace",
        found=found,
        fix=fix,
    )
