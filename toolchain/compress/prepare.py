"""What has to hold of a model before any method works on it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from toolchain.compress.computed_weights import bake_computed_weights
from toolchain.compress.draft import Draft
from toolchain.compress.equality import SAMPLES, run_arrays
from toolchain.compress.material import Material
from toolchain.compress.outputs import Inputs, list_outputs, run_model
from toolchain.errors import ToolchainError, usage
from toolchain.graph.parity import check_float_parity


def prepare_draft(draft: Draft, material: Material) -> None:
    """Run the model on calibration samples, and bake computed weights.

    Raises ToolchainError: exit 2 for a model that does not run on the samples or whose outputs
    differ from run to run; others as bake_computed_weights does.
    """
    model = draft.model.eval()
    inputs = material.inputs(SAMPLES)
    run_model(model, inputs)
    _refuse_randomness(model, inputs, where=material.where)
    bake_computed_weights(draft, material, inputs)


def _refuse_randomness(model: nn.Module, inputs: Inputs, *, where: str) -> None:
    first, second = run_arrays(model, inputs), run_arrays(model, inputs)
    if first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name], equal_nan=first[name].dtype.kind == "f") for name in first
    ):
        return
    try:
        check_float_parity("two runs", [(first, second)])  # sums of several threads may differ in their last digits
    except ToolchainError as error:
        raise usage(
            "the model's output differs from run to run, so that nothing can be compared with it",
            where=f"{where}: {_find_random_module(model, inputs)}, {error.where}",
            expected=f"the same for the same samples in evaluation mode: {error.expected}",
            found=error.found,
            fix="use nn.Dropout, or F.dropout(x, training=self.training), and let random numbers be an input",
        ) from error


def _find_random_module(model: nn.Module, inputs: Inputs) -> str:
    """Return the first module, of those that end first, that does not return the same for the same."""
    runs = [_record_outputs(model, inputs) for _ in range(2)]
    for (name, first), (_, second) in zip(*runs, strict=False):
        if len(first) != len(second) or not all(map(_is_same, first, second)):
            return name or type(model).__name__
    return type(model).__name__


def _record_outputs(model: nn.Module, inputs: Inputs) -> list[tuple[str, list[Tensor]]]:
    """Return what each module returned, in the order in which they ended."""
    seen: list[tuple[str, list[Tensor]]] = []
    handles = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: seen.append((name, [t.clone() for t in list_outputs(output)]))
        )
        for name, module in model.named_modules()
    ]
    try:
        run_model(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _is_same(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and bool(torch.allclose(first, second, rtol=0.0, atol=0.0, equal_nan=True))
