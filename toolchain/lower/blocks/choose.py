"""Stores the products that stay in float in blocks of 8 bits, where every output keeps the gate and nothing gets slower."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx

from toolchain.agent.measure.latency import is_faster
from toolchain.lower.blocks.write import count_saved, find_blocks, write_blocks
from toolchain.lower.float_graph import CompareSpeed
from toolchain.lower.qdq_plan import WeightInput
from toolchain.lower.trial import Bench


@dataclass(frozen=True)
class BlockChoice:
    """The model, and which of its products are in blocks."""

    model: onnx.ModelProto
    layers: tuple[str, ...] = ()
    saved_bytes: int = 0
    reason: str | None = None
    """Why none is, where some could be."""

    def describe(self) -> dict[str, Any]:
        """Return what lowering.json says of it."""
        return {"layers": list(self.layers), "saved_bytes": self.saved_bytes, "reason": self.reason}


def choose_blocks(
    model: onnx.ModelProto,
    layers: Collection[str],
    benches: Sequence[Bench],
    *,
    sqnr_db_min: float,
    compare_speed: CompareSpeed | None,
) -> BlockChoice:
    """Return the lowered model with those of its float layers in blocks that can be: all of them, or none.

    benches: samples to judge by, on the target's own kernels. compare_speed: None where this machine says nothing of the
    target; what the kernel returns is the CPU's to decide, so that nothing is changed then.
    """
    plain = BlockChoice(model)
    if compare_speed is None or any(bench.kernels is None for bench in benches):
        return plain
    weights = find_blocks(model, layers)
    if not weights:
        return plain
    tried = write_blocks(model, weights)
    for bench in benches:
        sqnr_db = replace(bench, build=lambda _: tried).measure_sqnr_db(frozenset())
        if sqnr_db < sqnr_db_min:
            return replace(plain, reason=f"with them an output keeps {sqnr_db:.1f} dB of {sqnr_db_min:g}")
    slower = compare_speed(tried, model)
    if is_faster(slower):
        return replace(plain, reason=f"the model is {slower.ratio:.2f} times as fast without them")
    return BlockChoice(tried, tuple(weights), sum(_count_saved(model, weight) for weight in weights.values()))


def _count_saved(model: onnx.ModelProto, weight: WeightInput) -> int:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == weight.source)
    return count_saved(tuple(tensor.dims), weight)
