"""Learned ranges in place of calibrated ones, for the tensors of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx

from toolchain.graph.learned_ranges import LearnedRanges
from toolchain.graph.view import GraphView
from toolchain.lower.moved_values import find_same_values
from toolchain.lower.qdq_plan import Scheme
from toolchain.lower.ranges import TensorRange
from toolchain.lower.safe_scales import SAFE_BITS


def find_learned(
    model: onnx.ModelProto, tensors: Sequence[str], learned: LearnedRanges | None
) -> dict[str, TensorRange]:
    """Return the learned range of each of these tensors that has one, itself or across a node that only moves values."""
    if learned is None:
        return {}
    view = GraphView.from_model(model)
    found: dict[str, TensorRange] = {}
    for name in tensors:
        same = find_same_values(view, name, learned.tensors)
        if same is not None:
            low, high = learned.tensors[same]
            found[name] = TensorRange(low, high, learned=True)
    return found


def match_weight_bits(scheme: Scheme, learned: LearnedRanges | None) -> Scheme:
    """Return the scheme that keeps weights on the grid that they were trained for, where the CPU can multiply it."""
    if learned is None:
        return scheme
    if learned.weight_bits > (SAFE_BITS if scheme.saturates else scheme.weight_bits):
        scheme = replace(scheme, reason=f"{scheme.reason}; the model was trained for {learned.weight_bits}-bit weights")
    return replace(
        scheme, trained_weight_bits=learned.weight_bits if learned.weight_bits <= scheme.weight_bits else None
    )
