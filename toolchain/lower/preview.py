"""What a runtime would take of a model by its plan alone: no data, no ranges, nothing measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from toolchain.errors import ExitCode, ToolchainError
from toolchain.lower.came_quantized import came_quantized
from toolchain.lower.float_reasons import explain_float_layers
from toolchain.project.members import find_member, load_member
from toolchain.project.seams import LOWERINGS


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Which layers that multiply would be in int8, and why not the others."""

    refused: str | None
    """Why the runtime does not take the model at all."""
    came_quantized: bool
    """Whether the model has operators of quantization already."""
    int8: tuple[str, ...]
    """Names of layers."""
    kept_in_float: Mapping[str, str]
    """Why, by the name of the layer."""


def preview_int8(runtime: str, model: onnx.ModelProto) -> Preview | None:
    """Return what int8 would be on a runtime; None for one from outside, which tells no plan.

    model: with a name for every node, its functions inlined.
    """
    prepare = getattr(load_member(find_member(LOWERINGS, runtime)), "preview", None)
    if prepare is None:
        return None
    quantized = came_quantized(model)
    try:
        prepared, policy = prepare(model)
        plan = policy.plan(prepared, frozenset())
    except ToolchainError as error:
        if error.code not in (ExitCode.INCOMPATIBLE, ExitCode.USAGE):
            raise
        return Preview(
            refused=f"{error.what}: {error.found or error.where}", came_quantized=quantized, int8=(), kept_in_float={}
        )
    names = {node.name for node in plan.nodes}
    return Preview(
        refused=None,
        came_quantized=quantized,
        int8=plan.weighted_layers,
        kept_in_float=explain_float_layers(prepared, names, policy.float_ops),
    )
