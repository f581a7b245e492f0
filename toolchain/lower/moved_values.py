"""Tensors that hold the same values, in another order or shape: one range serves them all."""

from __future__ import annotations

from collections.abc import Container

from toolchain.graph.view import GraphView

MOVES_VALUES = frozenset({"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"})
"""Operators that only move or select values: rounding before them is rounding behind them."""


def find_same_values(view: GraphView, name: str, known: Container[str]) -> str | None:
    """Return which of the known tensors this one is, itself or across nodes that only move values; None where it is none."""
    return next((other for other in (*_walk_back(view, name), *_walk_on(view, name)) if other in known), None)


def _walk_back(view: GraphView, name: str) -> list[str]:
    """Return the tensor and those before it, as far as nodes only move values."""
    names = [name]
    while (node := view.producers.get(names[-1])) is not None and node.op_type in MOVES_VALUES:
        names.append(node.input[0])
    return names


def _walk_on(view: GraphView, name: str) -> list[str]:
    """Return the tensors behind it, as far as the only reader moves values."""
    names: list[str] = []
    while (node := view.only_consumer(names[-1] if names else name)) is not None and node.op_type in MOVES_VALUES:
        names.append(node.output[0])
    return names
