"""Lets what an int8 lowering leaves in float be computed in bf16, where every output keeps its gate and it surely pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from toolchain.agent.measure.latency import is_faster
from toolchain.lower.float_graph import CompareSpeed
from toolchain.lower.trial import Arrays, Bench


@dataclass(frozen=True)
class RestChoice:
    """The model that ships, and in what its float layers are computed."""

    model: onnx.ModelProto
    precision: str = "float32"
    sqnr_db: float | None = None
    """What the worst output surely keeps with the float layers in bf16, where that was tried."""
    speedup: float | None = None
    """How many times as fast the model is with them in bf16, where that was measured."""

    def describe(self) -> dict[str, Any]:
        """Return what lowering.json says of it."""
        return {"precision": self.precision, "sqnr_db": self.sqnr_db, "speedup": self.speedup}


def choose_rest(
    lowered: onnx.ModelProto,
    marked: onnx.ModelProto,
    *,
    model: onnx.ModelProto,
    feeds: Sequence[Arrays],
    kernels: str,
    sqnr_db_min: float,
    compare_speed: CompareSpeed,
) -> RestChoice:
    """Return the lowered model, or the marked one that computes its float layers in bf16.

    model: the float model that outputs are held against, on the feeds. A second measurement, in sessions of its own, has to
    confirm that the marked one is faster, because neighbours may slow down a stretch of time.
    """
    bench = Bench(model=model, build=lambda _: marked, feeds=(), references=(), kernels=kernels).on(feeds)
    sqnr_db = bench.measure_sqnr_db(frozenset())
    if sqnr_db < sqnr_db_min:
        return RestChoice(lowered, sqnr_db=sqnr_db)
    first = compare_speed(lowered, marked)
    again = compare_speed(lowered, marked) if is_faster(first) else first
    pays = is_faster(again)
    return RestChoice(
        marked if pays else lowered,
        precision="bf16" if pays else "float32",
        sqnr_db=sqnr_db,
        speedup=again.ratio,
    )


def describe_rest(choice: RestChoice) -> list[str]:
    """Return the sentence about it for people: a precision that nobody listed must not go unsaid."""
    if choice.precision == "float32":
        return []
    gain = f"{choice.speedup:.2f} times as fast, and the worst output keeps {choice.sqnr_db:.1f} dB"
    return [f"what is not in int8 is computed in bf16: {gain}"]
