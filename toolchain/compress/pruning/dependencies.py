"""Which channels of a model depend on each other: Torch-Pruning's graph of it (Fang et al. 2023, arXiv:2301.12900)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from toolchain.compress.outputs import Inputs, call_model, list_outputs
from toolchain.errors import ToolchainError, usage

FAILURES = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError, ArithmeticError)
"""What building the graph or running a model raises when the model's own code cannot be followed."""


def build_graph(model: nn.Module, inputs: Inputs, *, method: str) -> torch_pruning.DependencyGraph:
    """Return which channels go with which; raises ToolchainError (exit 2) where the model cannot be followed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parameters outside of layers: _refuse_bound names them
        try:
            with keep_freeze(model), close_recurrent(model) as kept:
                return torch_pruning.DependencyGraph().build_dependency(
                    model,
                    example_inputs=inputs,
                    forward_fn=call_model,
                    customized_pruners=dict.fromkeys(kept, _Kept()),
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


class _Kept:
    """Says of a recurrent layer how many features it reads and writes, and takes none away."""

    def prune_out_channels(self, layer: nn.RNNBase, idxs: Sequence[int]) -> nn.Module:
        """Refuse to."""
        raise TypeError(f"{len(idxs)} features of a {type(layer).__name__} cannot go")

    def prune_in_channels(self, layer: nn.RNNBase, idxs: Sequence[int]) -> nn.Module:
        """Refuse to."""
        raise TypeError(f"{len(idxs)} inputs of a {type(layer).__name__} cannot go")

    def get_out_channels(self, layer: nn.RNNBase) -> int:
        """Return the features of a step, those of both directions."""
        return (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)

    def get_in_channels(self, layer: nn.RNNBase) -> int:
        """Return the features that a step reads."""
        return int(layer.input_size)

    def get_out_channel_groups(self, layer: nn.RNNBase) -> int:
        """Return into how many sections they fall."""
        del layer
        return 1

    get_in_channel_groups = get_out_channel_groups


class _Step(torch.autograd.Function):
    """One step from the inputs of a layer to its outputs, whatever the layer did between them."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs; tensors: so many inputs, and the outputs that the layer has made of them."""
        del ctx
        return tuple(tensor.clone() for tensor in tensors[count:])


@contextmanager
def close_recurrent(model: nn.Module) -> Iterator[set[type[nn.Module]]]:
    """Let recurrent layers be one step each of what autograd records, while the block runs; return their types.

    Torch-Pruning follows what a layer records, and what a GRU records is many steps that mix its channels.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.RNNBase)]
    for layer in layers:
        object.__setattr__(layer, "forward", partial(_run_closed, layer.forward))
    try:
        yield {type(layer) for layer in layers}
    finally:
        for layer in layers:
            object.__delattr__(layer, "forward")


def _run_closed(forward: Callable[..., Any], sequence: Any, *states: Any) -> Any:
    given = [state for state in list_outputs([sequence, *states]) if state.is_floating_point()]
    if not isinstance(sequence, Tensor):
        return forward(sequence, *states)  # a packed sequence
    with torch.no_grad():
        output, left = forward(sequence, *states)
    made = list_outputs([output, left])
    reads = [tensor if tensor.requires_grad else tensor.detach().requires_grad_() for tensor in given]
    first, *rest = _Step.apply(len(reads), *reads, *made)
    return first, (tuple(rest) if isinstance(left, tuple) else rest[0])


def explain_failure(model: nn.Module, error: Exception, method: str) -> ToolchainError:
    """Return the error (exit 2) for a model that Torch-Pruning cannot follow; error: what it raised."""
    found = str(error).splitlines()[0] if str(error) else type(error).__name__
    return usage(
        f"{method} cannot follow which channels depend on each other",
        where=type(model).__name__,
        expected="a model that Torch-Pruning can trace",
        found=found,
        fix="leave this method out of the recipe; magnitude_pruning needs no order of channels",
    )
