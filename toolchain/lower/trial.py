"""Trials of a lowering: build the model with some layers in float and measure what it returns."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.agent.parity import Parity
from toolchain.agent.session import Session, open_session
from toolchain.lower.onnxruntime import plan_int8
from toolchain.lower.qdq import Scheme, write_qdq
from toolchain.lower.ranges import TensorRange

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Bench:
    """A float model, its ranges, and runs on real data to judge lowerings by."""

    model: onnx.ModelProto
    ranges: Mapping[str, TensorRange]
    scheme: Scheme
    feeds: Sequence[Arrays]
    """What to feed, one run each."""
    references: Sequence[Arrays]
    """What the float model returned for each."""
    threads: int
    """Of the target, for trials of speed; trials of accuracy take all there are."""

    def build(self, keep_float: frozenset[str]) -> onnx.ModelProto:
        """Return the int8 model with these layers in float."""
        return write_qdq(self.model, plan_int8(self.model, keep_float), self.ranges, self.scheme)

    def measure_outputs_db(self, keep_float: frozenset[str], *, samples: int | None = None) -> dict[str, float]:
        """Return the SQNR in dB of every output with these layers in float; -inf for one that is not finite.

        On the first `samples` of the feeds, or on all.
        """
        session = open_model(self.build(keep_float), threads=os.cpu_count() or 1)
        parity = Parity()
        for feed, reference in zip(self.feeds[:samples], self.references[:samples], strict=True):
            parity.add(reference, session.run(feed))
        return {row.output: -math.inf if row.nonfinite else row.sqnr_db for row in parity.summarize()}

    def measure_sqnr_db(self, keep_float: frozenset[str], *, samples: int | None = None) -> float:
        """Return the least SQNR in dB over the outputs with these layers in float."""
        return min(self.measure_outputs_db(keep_float, samples=samples).values())


def open_model(model: onnx.ModelProto, *, threads: int) -> Session:
    """Open a model in memory with the agent's own session, so that trials run what a board would run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return open_session("onnxruntime", path, threads)
