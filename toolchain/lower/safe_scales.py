"""The least scales at which an x86 CPU without VNNI multiplies 8-bit weights exactly, channel by channel.

Its int8 kernels multiply unsigned activations by signed weights with vpmaddubsw, which adds the products of two
neighbours in 16 bits and saturates. In ONNX Runtime's kernels (MLAS packs four steps of K together) the neighbours are
elements 2i and 2i + 1 along K, where K of a Conv is (kernel position, input channel), the channel last, whatever the
layout of the graph; tests/lower/test_safe_scales.py reads it off those kernels. A channel is exact for all inputs if and
only if no two neighbours sum to more than 128 steps: 255 * 128 < 2^15 < 255 * 129, and of two with opposite signs the
larger is 127 at most. Depthwise kernels (one input channel for each output channel) add in 32 bits and have no such limit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.graph.view import GraphView
from toolchain.lower.qdq_plan import QdqPlan

PAIR_SUM_MAX = 128
"""Steps that two neighbouring weights may sum to, in magnitude."""

SAFE_BITS = 7
"""Weights of so many bits never saturate: 63 + 63 steps."""

# Sum, division and rounding in float32 move a quotient of 128 steps by less than this share of it.
_ROUNDING = 2.0**-21


def find_safe_scales(weight: NDArray[np.float32], *, axis: int) -> NDArray[np.float64]:
    """Return the least scale of each channel of `axis`, (channels,), at which its int8 products never saturate.

    weight: of a Conv (M, C / group, kernel...), a Gemm or a MatMul. Weights x and y whose quotients by the scale sum to
    128 at most round to integers whose sum is 128 at most: rounding adds one half to each, which makes less than 129.
    """
    return sum_neighbors(weight, axis=axis).astype(np.float64) / PAIR_SUM_MAX * (1 + _ROUNDING)


def find_plan_scales(plan: QdqPlan, view: GraphView) -> dict[tuple[str, int], NDArray[np.float64]]:
    """Return the least safe scales of every dense weight of a plan, by its initializer and its axis of channels there."""
    least: dict[tuple[str, int], NDArray[np.float64]] = {}
    specs = [node.weight for node in plan.nodes if node.weight is not None and not node.weight.is_depthwise]
    for spec in {(spec.source, spec.perm, spec.axis): spec for spec in specs}.values():
        weight = view.constant(spec.source)
        if weight is None:
            raise KeyError(spec.source)
        scales = find_safe_scales(weight.astype(np.float32).transpose(spec.perm or range(weight.ndim)), axis=spec.axis)
        key = spec.source, spec.stored_axis
        least[key] = np.maximum(least.get(key, 0.0), scales)
    return least


def find_saturating(values: NDArray[np.int8], *, axis: int) -> NDArray[np.bool_]:
    """Return for each channel of `axis`, (channels,), whether some input makes its products saturate."""
    return np.asarray(sum_neighbors(values.astype(np.int16), axis=axis) > PAIR_SUM_MAX)


def sum_neighbors(weight: NDArray[Any], *, axis: int) -> NDArray[Any]:
    """Return the largest magnitude of a sum of two weights that the kernel adds in 16 bits, (channels,)."""
    # (M, C, kernel...) to (M, kernel..., C); a matrix stays as it is.
    rows = np.moveaxis(np.moveaxis(weight, axis, 0), 1, -1).reshape(weight.shape[axis], -1)
    paired = rows.shape[1] // 2 * 2
    return np.asarray(np.abs(rows[:, 0:paired:2] + rows[:, 1:paired:2]).max(axis=1, initial=0))
