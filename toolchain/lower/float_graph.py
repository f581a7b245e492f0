"""Which float graph ships: our optimized one, or the user's own where ours is slower or larger.

An optimization is for a runtime that has kernels for what it writes, and a runtime changes: what was faster in one version
is slower in the next. So the two are measured against each other where this machine is the target, and their sizes are
compared everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import onnx

from toolchain.agent.measure.latency import is_faster, measure_latency
from toolchain.agent.measure.quantiles import Ratio
from toolchain.graph.session import open_as_board
from toolchain.lower.trial import Arrays

# What names of nodes and small constants may add to a file.
_NODE_BYTES = 128
_FILE_BYTES = 4096

# Enough for a ratio to a few percent.
_SAMPLES = 200
_LIMIT_S = 5.0

CompareSpeed = Callable[[onnx.ModelProto, onnx.ModelProto], Ratio]
"""Returns how many times as long the first model takes as the second."""


@dataclass(frozen=True)
class FloatChoice:
    """The graph that ships, and why it is not ours where it is the user's."""

    model: onnx.ModelProto
    reason: str | None

    def describe(self) -> dict[str, bool | str | None]:
        """Return what lowering.json says of the optimization."""
        return {"kept": self.reason is None, "reason": self.reason}


def choose_float_graph(
    optimized: onnx.ModelProto, exported: onnx.ModelProto, compare_speed: CompareSpeed | None
) -> FloatChoice:
    """Return the optimized graph, or the user's own where the optimized one is larger, or surely slower twice.

    Neither is packed yet, which serves both alike. compare_speed is None where this machine is not the target. A second measurement, in
    sessions of its own, has to confirm the first, because neighbours may slow down a stretch of time.
    """
    ours, theirs = optimized.ByteSize(), exported.ByteSize()
    allowance = _FILE_BYTES + _NODE_BYTES * len(optimized.graph.node)
    if ours > theirs + allowance:
        return FloatChoice(exported, f"the optimized graph is larger: {ours} bytes, the user's {theirs}")
    if compare_speed is None or list(optimized.graph.node) == list(exported.graph.node):
        return FloatChoice(optimized, None)
    if is_faster(compare_speed(optimized, exported)) and is_faster(again := compare_speed(optimized, exported)):
        return FloatChoice(exported, f"the user's graph is {again.ratio:.2f} times as fast here as the optimized one")
    return FloatChoice(optimized, None)


def bind_comparison(feed: Arrays, runtime: str, *, threads: int) -> CompareSpeed:
    """Return what measures two models in turns with a runtime of this machine, given the same inputs."""

    def compare(slower: onnx.ModelProto, faster: onnx.ModelProto) -> Ratio:
        sessions = {
            name: open_as_board(model, runtime=runtime, threads=threads, is_timed=True)
            for name, model in (("s", slower), ("f", faster))
        }
        runs = {name: partial(session.run, feed) for name, session in sessions.items()}
        return measure_latency(runs, samples=_SAMPLES, limit_s=_LIMIT_S).compare("s", "f")

    return compare
