"""Learned ranges in place of calibrated ones, for the tensors of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx

from toolchain.graph.learned_ranges import LearnedRanges
from toolchain.graph.view import GraphView
from toolchain.lower.qdq_plan import Scheme
from toolchain.lower.ranges import TensorRange

# Operators that only move or select values: rounding before them is rounding behind them.
_MOVES_VALUES = frozenset({"MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"})


def find_learned(
    model: onnx.ModelProto, tensors: Sequence[str], learned: LearnedRanges | None
) -> dict[str, TensorRange]:
    """Return the learned range of each of these tensors that has one, itself or across a node that only moves values."""
    if learned is None:
        return {}
    view = GraphView.from_model(model)
    found: dict[str, TensorRange] = {}
    for name in tensors:
        same = next(
            (other for other in (*_walk_back(view, name), *_walk_on(view, name)) if other in learned.tensors), None
        )
        if same is not None:
            low, high = learned.tensors[same]
            found[name] = TensorRange(low, high, learned=True)
    return found


def match_weight_bits(scheme: Scheme, learned: LearnedRanges | None) -> Scheme:
    """Return the scheme that keeps weights on the grid that they were trained for, where the CPU can multiply it."""
    if learned is None:
        return scheme
    if learned.weight_bits > scheme.weight_bits:
        return replace(scheme, reason=f"{scheme.reason}; the model was trained for {learned.weight_bits}-bit weights")
    return replace(scheme, trained_weight_bits=learned.weight_bits)


def _walk_back(view: GraphView, name: str) -> list[str]:
    """Return the tensor and those before it, as far as nodes only move values."""
    names = [name]
    while (node := view.producers.get(names[-1])) is not None and node.op_type in _MOVES_VALUES:
        names.append(node.input[0])
    return names


def _walk_on(view: GraphView, name: str) -> list[str]:
    """Return the tensors behind it, as far as the only reader moves values."""
    names: list[str] = []
    while (node := view.only_consumer(names[-1] if names else name)) is not None and node.op_type in _MOVES_VALUES:
        names.append(node.output[0])
    return names
