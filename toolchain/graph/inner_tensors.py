"""How far the inner tensors of one graph are from those of another that was made of it, on the same samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from toolchain.agent.measure.parity import OutputParity, Parity
from toolchain.graph.session import HostSession
from toolchain.graph.shapes import infer_shapes


def find_common_tensors(a: onnx.ModelProto, b: onnx.ModelProto) -> list[str]:
    """Return the names of the float tensors inside both graphs, in A's order."""
    floats = [
        {
            value.name
            for value in infer_shapes(model).value_info
            if value.type.tensor_type.elem_type == TensorProto.FLOAT
        }
        for model in (a, b)
    ]
    outputs = {value.name for model in (a, b) for value in model.graph.output}
    inner = (floats[0] & floats[1]) - outputs
    return [name for node in a.graph.node for name in node.output if name in inner]


def open_with_inner(model: onnx.ModelProto, inner: Sequence[str]) -> HostSession:
    """Open a model with the kernels of a board; these inner tensors come first of what it returns."""
    outputs = [value.name for value in model.graph.output]
    return HostSession(model, integer_kernels=True, tensors=[*inner, *outputs])


def measure_inner_parity(
    a: onnx.ModelProto, b: onnx.ModelProto, feeds: Iterable[Mapping[str, NDArray[Any]]], inner: Sequence[str]
) -> tuple[OutputParity, ...]:
    """Return the parity of B's tensors with A's: the inner ones, then the outputs. Raises ToolchainError as Parity does."""
    sessions = [open_with_inner(model, inner) for model in (a, b)]
    parity = Parity()
    for feed in feeds:
        reference, found = (session.run(feed) for session in sessions)
        parity.add(reference, found)
    return parity.summarize()
