"""The nodes between a sensor's input of whole numbers and a tensor: what [input] has put there, or the user's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.graph.view import GraphView

_MOVES = {"Transpose": 1, "Gather": 2}
_CALCULATES = ("Mul", "Add")
_WHOLE = (onnx.TensorProto.UINT8, onnx.TensorProto.INT16, onnx.TensorProto.UINT16)


@dataclass(frozen=True)
class InputChain:
    """Cast, then nodes that move values, then Mul and Add of constants; each has one reader, but perhaps the last."""

    source: str
    """The graph's input."""
    element: int
    """Its type, of onnx.TensorProto."""
    cast: onnx.NodeProto
    moves: tuple[onnx.NodeProto, ...]
    calculations: tuple[tuple[onnx.NodeProto, NDArray[np.generic]], ...]

    @property
    def nodes(self) -> tuple[onnx.NodeProto, ...]:
        """All of them, in their order."""
        return (self.cast, *self.moves, *(node for node, _ in self.calculations))

    def calculate(self, numbers: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return what becomes of numbers `(n,)`, once for each channel that has constants of its own."""
        sizes = [constant.size for _, constant in self.calculations]
        results = []
        for channel in range(max(sizes, default=1)):
            values = numbers.astype(np.float32)
            for node, constant in self.calculations:
                number = np.float32(constant.reshape(-1)[channel if constant.size > 1 else 0])
                values = values * number if node.op_type == "Mul" else values + number
            results.append(values)
        return results


def find_input_chain(view: GraphView, tensor: str) -> InputChain | None:
    """Return what makes a tensor of a sensor's input; None where something else does, or others read in between."""
    inputs = {value.name: value for value in view.model.graph.input if value.name not in view.initializers}
    calculations: list[tuple[onnx.NodeProto, NDArray[np.generic]]] = []
    moves: list[onnx.NodeProto] = []
    name, is_last = tensor, True
    while (node := view.producers.get(name)) is not None:
        if not is_last and view.only_consumer(name) is None:
            return None
        is_last = False
        constant = view.constant(node.input[1]) if len(node.input) == 2 else None
        if node.op_type in _CALCULATES and not moves and constant is not None and _is_of_channels(constant):
            calculations.insert(0, (node, constant))
        elif len(node.input) == _MOVES.get(node.op_type) and (node.op_type == "Transpose" or constant is not None):
            moves.insert(0, node)
        elif node.op_type == "Cast":
            source = inputs.get(node.input[0])
            if source is None or source.type.tensor_type.elem_type not in _WHOLE:
                return None
            if view.only_consumer(source.name) is None:
                return None
            element = source.type.tensor_type.elem_type
            return InputChain(source.name, element, node, tuple(moves), tuple(calculations))
        else:
            return None
        name = node.input[0]
    return None


def _is_of_channels(constant: NDArray[np.generic]) -> bool:
    """Return whether a constant is one number, or one for each index of one axis."""
    return constant.size == max(constant.shape, default=1) and bool(np.isfinite(constant.astype(np.float64)).all())
