"""Inputs with a default value: initializers that are listed as inputs, so that a caller may override them.

Exporters list all weights so (keep_initializers_as_inputs). What nothing feeds is a constant; what the data feeds is an
input, and its default is gone: a deployed model has one meaning.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import onnx

# Before it, every initializer had to be listed as an input (ONNX, docs/IR.md); toolchain/optimize/raise_opset.py ends that.
_IR_VERSION = 4


@dataclass(frozen=True)
class SettledInputs:
    """The model, and what became of its inputs with a default value."""

    model: onnx.ModelProto
    constants: tuple[str, ...]
    fed: tuple[str, ...]


def settle_defaults(model: onnx.ModelProto, fed: AbstractSet[str]) -> SettledInputs:
    """Return a copy in which no input has a default value, given the names of the data's arrays; the same without any."""
    initialized = {tensor.name for tensor in model.graph.initializer}
    overridable = [value.name for value in model.graph.input if value.name in initialized]
    if not overridable or model.ir_version < _IR_VERSION:
        return SettledInputs(model, (), ())
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = tuple(name for name in overridable if name not in fed)
    inputs = [value for value in result.graph.input if value.name not in constants]
    tensors = [
        tensor for tensor in result.graph.initializer if tensor.name not in fed or tensor.name not in overridable
    ]
    result.graph.ClearField("input")
    result.graph.input.extend(inputs)
    result.graph.ClearField("initializer")
    result.graph.initializer.extend(tensors)
    return SettledInputs(result, constants, tuple(name for name in overridable if name in fed))
