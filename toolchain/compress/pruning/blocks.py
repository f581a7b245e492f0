"""Residual blocks: modules that return their input when their own weights say nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from toolchain.compress.draft import Draft, find_module
from toolchain.compress.layers import Layer, LayerOptions, select_layers
from toolchain.compress.outputs import Inputs, copy_model, run_model
from toolchain.compress.sensitivity import measure_noise, run_batches
from toolchain.errors import usage


@dataclass(frozen=True)
class Block:
    """A residual block whose input and output have the same shape."""

    name: str
    layers: tuple[str, ...]
    """The convolutions and linear layers inside."""
    gates: tuple[str, ...]
    """The modules inside whose parameters, once all zero, make the block return its input: the last of each branch."""


def find_blocks(model: nn.Module, inputs: Inputs, options: LayerOptions, *, method: str) -> list[Block]:
    """Return the innermost residual blocks all of whose layers the options name, in the model's order.

    A block is known by what it does: with all of its parameters zero it returns the input that it got here, as
    `x + f(x)` does, or `relu(x + f(x))` behind another relu.

    Raises ToolchainError (exit 2) where there is none.
    """
    selected = select_layers(model, options, method=method)
    blocks: list[Block] = []
    passing: list[str] = []
    for name, seen in _record_inputs(model, inputs).items():
        block = model.get_submodule(name)
        if not _passes(_zero(block, _list_owners(block)), seen):
            continue
        passing.append(name)
        layers = [f"{name}.{inner}" for inner, module in block.named_modules() if isinstance(module, Layer)]
        if layers and all(layer in selected for layer in layers):
            blocks.append(Block(name, tuple(layers), tuple(f"{name}.{gate}" for gate in _find_gates(block, seen))))
    # A stage of blocks passes its input on as well: only what holds no other one is a block.
    innermost = [block for block in blocks if not any(other.startswith(f"{block.name}.") for other in passing)]
    if not innermost:
        raise usage(
            f"{method} finds no residual block that could go",
            where=method,
            expected="a module such as x + f(x), with an output in its input's shape, all of whose layers are selected",
            found=", ".join(passing) or "none",
            fix="correct layers and skip, or leave blocks out",
        )
    return innermost


def remove_least_blocks(draft: Draft, blocks: Sequence[Block], count: int, inputs: Inputs, *, method: str) -> None:
    """Remove, one after the other, the block without which the model's outputs for these samples change least.

    Raises ToolchainError (exit 2) where there are fewer blocks than that.
    """
    if count > len(blocks):
        raise usage(
            f"{method} finds fewer blocks than it is to remove",
            where=f"{method}: blocks",
            expected=f"at most {len(blocks)}: {', '.join(block.name for block in blocks)}",
            found=str(count),
            fix="lower blocks",
        )
    before = run_batches(draft.model, inputs)
    for _ in range(count):
        left = [block.name for block in blocks if not isinstance(find_module(draft.model, block.name), nn.Identity)]
        draft.remove(min(left, key=lambda name: _measure_change(draft.model, name, inputs, before)))


def _measure_change(model: nn.Module, name: str, inputs: Inputs, before: Mapping[str, Tensor]) -> float:
    block = model.get_submodule(name)
    model.set_submodule(name, nn.Identity())
    try:
        return measure_noise(run_batches(model, inputs), before)
    finally:
        model.set_submodule(name, block)


def _record_inputs(model: nn.Module, samples: Inputs) -> dict[str, Tensor]:
    """Return the input of every module with layers inside that maps one tensor to one of its shape."""
    seen: dict[str, Tensor] = {}
    handles = []

    def record(name: str) -> None:
        def hook(_: nn.Module, inputs: tuple[object, ...], named: dict[str, object], output: object) -> None:
            tensors = [value for value in (*inputs, output) if isinstance(value, Tensor)]
            if len(inputs) == 1 and not named and len(tensors) == 2 and tensors[0].shape == tensors[1].shape:
                seen.setdefault(name, tensors[0].clone())

        handles.append(model.get_submodule(name).register_forward_hook(hook, with_kwargs=True))

    for name, module in model.named_modules():
        if name and any(isinstance(inner, Layer) for inner in module.modules() if inner is not module):
            record(name)
    try:
        run_model(model, samples)
    finally:
        for handle in handles:
            handle.remove()
    return {name: seen[name] for name, _ in model.named_modules() if name in seen}


def _list_owners(block: nn.Module) -> list[str]:
    """Return the modules of a block that have parameters of their own."""
    return [name for name, module in block.named_modules() if any(True for _ in module.parameters(recurse=False))]


def _zero(block: nn.Module, owners: Sequence[str]) -> nn.Module:
    """Return a copy of the block in which the parameters of these modules are zero."""
    copied = copy_model(block).eval()
    for name in owners:
        for parameter in copied.get_submodule(name).parameters(recurse=False):
            parameter.data.zero_()
    return copied


@torch.no_grad()
def _passes(block: nn.Module, seen: Tensor) -> bool:
    return bool(torch.equal(block(seen.clone()), seen))


def _find_gates(block: nn.Module, seen: Tensor) -> list[str]:
    """Return the fewest modules that close the block: from the first on, each that is not needed for it is left out."""
    gates = _list_owners(block)
    for name in list(gates):
        others = [other for other in gates if other != name]
        if _passes(_zero(block, others), seen):
            gates = others
    return gates
