"""What a model divides by: in float16 a small number is 0, and what is divided by it is no number.

    x -> Pow -> ReduceMean -> Add(epsilon) -> Sqrt -> Div

Kept in float32, the Add alone saves nothing: its sum is rounded for the Sqrt behind it. So the whole way is looked at, from
what makes the small number to the division, and stays in float32 where a number on it vanishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.graph.view import GraphView

# Up to this, float16 rounds to 0: half of its smallest subnormal, ties to even (IEEE 754).
_VANISHING_MAX = 2.0**-25

# Of these, which input divides, or must not be 0 for another reason.
_DIVIDING = {"Div": 1, "Reciprocal": 0, "Log": 0}

# What leaves a small number a small number, or makes it one.
_PASSING = frozenset(
    {
        *("Sqrt", "Abs", "Neg", "Pow", "Mul", "Div", "Identity", "Cast"),
        *("Reshape", "Squeeze", "Unsqueeze", "Expand", "Transpose"),
    }
)

# What keeps a number from being small: a constant beside it (an epsilon, or a least value) is what is left where it is 0.
_GUARDING = frozenset({"Add", "Max", "Clip"})

# What makes one number of many, which may vanish one by one.
_REDUCING = frozenset({"ReduceMean", "ReduceSum", "ReduceL2", "ReduceSumSquare", "GlobalAveragePool"})


@dataclass(frozen=True)
class Vanishing:
    """A tensor before a division, and the nodes that must stay in float32 where a number of it vanishes."""

    tensor: str
    nodes: tuple[str, ...]
    """From the division back to what makes the tensor."""


def trace_divisors(model: onnx.ModelProto) -> tuple[Vanishing, ...]:
    """Return the tensors on the way to each division of a model."""
    view = GraphView.from_model(model)
    return tuple(
        Vanishing(name, nodes)
        for node in model.graph.node
        if node.op_type in _DIVIDING
        for name, nodes in _walk_back(view, node.input[_DIVIDING[node.op_type]], (node.name,))
    )


def _walk_back(view: GraphView, tensor: str, behind: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    producer = view.producers.get(tensor)
    if producer is None:
        yield tensor, behind
        return
    nodes = (*behind, producer.name)
    if producer.op_type in _REDUCING:
        inner = view.producers.get(producer.input[0])
        nodes = (*nodes, inner.name) if inner is not None and inner.op_type in _PASSING else nodes
    yield tensor, nodes
    if producer.op_type in _GUARDING:
        yield from ((name, nodes) for name in producer.input if name and view.is_constant(name))
    elif producer.op_type in _PASSING:
        made = {name for name in producer.input if name and not view.is_constant(name)}
        if len(made) == 1:
            yield from _walk_back(view, made.pop(), nodes)


def find_vanishing(values: NDArray[np.float32]) -> float | None:
    """Return the smallest magnitude that float16 rounds to 0 although it is not, or None."""
    magnitudes = np.abs(values)
    small = magnitudes[(magnitudes > 0) & (magnitudes <= _VANISHING_MAX)]
    return float(small.min()) if small.size else None
