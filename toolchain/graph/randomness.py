"""Says which node of an ONNX graph draws random numbers, and whether two runs differ: then nothing can be proven twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from toolchain.agent.measure.parity import compare
from toolchain.errors import ToolchainError, usage
from toolchain.graph.parity import SQNR_DB_MIN
from toolchain.graph.view import read_constant_node
from toolchain.graph.walk import iter_nodes, iter_tensors

# ONNX operators that draw; Dropout does where its third input, training_mode, is true.
_DRAWING = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)

_FIX = (
    "functional dropout needs training=self.training; take torch.rand and its like out of forward or make their "
    "result an input; keep no state from one call to the next"
)


def find_random_node(model: onnx.ModelProto) -> str | None:
    """Return the name and operator of the first node that draws random numbers, in a graph within or a function too."""
    nodes = list(iter_nodes(model))
    constants = {tensor.name: tensor for tensor in iter_tensors(model) if tensor.name}
    constants |= {node.output[0]: tensor for node in nodes if (tensor := read_constant_node(node)) is not None}
    for node in nodes:
        flag = constants.get(node.input[2]) if node.op_type == "Dropout" and len(node.input) > 2 else None
        if node.op_type in _DRAWING or (flag is not None and bool(numpy_helper.to_array(flag).any())):
            return f"{node.name or node.output[0]} ({node.op_type})"
    return None


def find_difference(first: Mapping[str, NDArray[Any]], second: Mapping[str, NDArray[Any]]) -> tuple[str, str] | None:
    """Return which output of two runs on the same samples differs, and how much, where it is by more than rounding."""
    if first.keys() != second.keys():
        return f"outputs {', '.join(first)}", f"outputs {', '.join(second)} the next time"
    for name, array in first.items():
        other = second[name]
        if array.shape != other.shape or array.dtype != other.dtype:
            return f"output {name}", f"shape {array.shape}, then {other.shape}"
        # A NaN at the same place is the same here; the check of the export refuses it.
        both = np.isnan(array) & np.isnan(other) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
        (distance,) = compare({name: np.where(both, 0, array)}, {name: np.where(both, 0, other)})
        limit_db = SQNR_DB_MIN.get(str(array.dtype))
        differs = distance.max_abs > 0 if limit_db is None else distance.sqnr_db < limit_db
        if differs or distance.nonfinite:
            return f"output {name}", f"a difference of {distance.max_abs:g}"
    return None


def explain_randomness(where: str, found: str) -> ToolchainError:
    """Return the error (exit 2) for a model whose output differs from run to run."""
    return usage(
        "the model's output differs from run to run",
        where=where,
        expected="equal outputs for equal inputs, in evaluation mode",
        found=found,
        fix=_FIX,
    )
