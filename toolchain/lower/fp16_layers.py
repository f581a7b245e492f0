"""Float ONNX in, float16 ONNX out: layers whose tensors float16 cannot hold, or that spoil an output, stay in float32.

Two steps, both on the calibration data. First every tensor of the float32 model is looked at: its largest value against
float16's largest, the noise of rounding it, and whether something is divided by what vanishes. Then the float16 model as a whole must keep the SQNR of the gate; where
it does not, the search that int8 uses too (lower/layer_search.py) finds the fewest layers that must go back.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from toolchain.graph.session import HostSession
from toolchain.lower.fp16 import convert_to_float16, find_float16_nodes, find_float_tensors
from toolchain.lower.fp16_divisors import find_vanishing, trace_divisors
from toolchain.lower.layer_search import find_guilty_layers
from toolchain.lower.request import StartSteps
from toolchain.lower.trial import Arrays, Bench

FLOAT16_MAX = float(np.finfo(np.float16).max)

# The board will see inputs that the calibration set does not hold: a tensor must stay under half of the largest number.
_HEADROOM = 2.0

# Operators whose third input is a bias.
_BIASED = frozenset({"Conv", "ConvTranspose", "Gemm", "LayerNormalization"})

# Elements per step, so that copies of a large tensor stay at some megabytes.
_CHUNK_ELEMENTS = 1 << 18

# The search looks at so many samples, as that for int8 does (lower/int8.py).
_SEARCH_SAMPLES = 32

# To rank layers, which takes as many trials as there are: as for int8 (lower/accuracy.py).
_RANK_SAMPLES = 4


@dataclass(frozen=True)
class Float16Lowering:
    """The float16 model, and the layers that stayed in float32."""

    model: onnx.ModelProto
    kept_in_float: Mapping[str, str]
    """Layers that could be float16 and stay in float32: name to reason."""
    sqnr_db: Mapping[str, float]
    """Of every output against the float32 model, on the samples of the search."""


@dataclass
class _Look:
    """What was seen of one tensor: its largest finite magnitude, the powers of it and of its rounding, one that becomes 0."""

    largest: float = 0.0
    signal: float = 0.0
    noise: float = 0.0
    vanishing: float | None = None

    def add(self, values: NDArray[np.float32], *, divides: bool) -> None:
        flat = values.reshape(-1)
        if divides and self.vanishing is None:
            self.vanishing = find_vanishing(flat)
        for start in range(0, flat.size, _CHUNK_ELEMENTS):
            chunk = flat[start : start + _CHUNK_ELEMENTS]
            chunk = chunk[np.isfinite(chunk)]
            if chunk.size == 0:
                continue
            self.largest = max(self.largest, float(chunk.max()), -float(chunk.min()))
            kept = np.clip(chunk, -FLOAT16_MAX, FLOAT16_MAX)
            error = (kept - kept.astype(np.float16)).astype(np.float64)
            self.signal += float(np.square(kept, dtype=np.float64).sum())
            self.noise += float(np.dot(error, error))

    def find_problem(self, sqnr_db_min: float, *, is_bias: bool) -> str | None:
        """Return what float16 does to the tensor, or None where it holds it.

        A bias is added to a sum: rounding a small one moves the sum by at most 2**-25, which is no loss.
        """
        if self.largest * _HEADROOM > FLOAT16_MAX:
            return (
                f"reaches {self.largest:.4g}: float16 ends at {FLOAT16_MAX:.0f}, and a factor of {_HEADROOM:g} is kept"
            )
        if self.noise == 0 or is_bias:
            return None
        sqnr_db = 10 * math.log10(self.signal / self.noise)
        return f"keeps only {sqnr_db:.1f} dB when rounded to float16" if sqnr_db < sqnr_db_min else None


def lower_fp16(
    model: onnx.ModelProto, feeds: Sequence[Arrays], *, sqnr_db_min: float, start_steps: StartSteps
) -> Float16Lowering:
    """Return the float16 lowering of an optimized float32 model; sqnr_db_min is what every output must keep, in dB."""
    on_batch = start_steps("look at the range of every tensor", len(feeds))
    reasons = find_unsafe_layers(model, feeds, sqnr_db_min=sqnr_db_min, on_batch=on_batch)
    unsafe = frozenset(reasons)
    layers = sorted(find_float16_nodes(model, unsafe))
    empty = Bench(model=model, build=lambda keep: convert_to_float16(model, keep | unsafe), feeds=(), references=())
    bench = empty.on(feeds[:_SEARCH_SAMPLES])
    search = find_guilty_layers(
        layers,
        lambda keep: bench.try_out(keep, sqnr_db_min=sqnr_db_min),
        rank=partial(bench.rank_by_trials, keep_float=frozenset(), samples=_RANK_SAMPLES),
        sqnr_db_min=sqnr_db_min,
        start_steps=start_steps,
    )
    reasons |= {
        name: f"spoils an output: alone in float16 it leaves {search.alone_db[name]:.1f} dB of SQNR"
        for name in search.keep_float
    }
    keep = frozenset(search.keep_float)
    return Float16Lowering(
        model=bench.build(keep),
        kept_in_float=reasons,
        sqnr_db={name: estimate.sqnr_db for name, estimate in bench.measure_outputs_db(keep).items()},
    )


def find_unsafe_layers(
    model: onnx.ModelProto,
    feeds: Sequence[Arrays],
    *,
    sqnr_db_min: float,
    on_batch: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Return the nodes that float16 cannot compute because of a tensor that they read or make, with the reason.

    Infinities in the data (masks of attention) are no overflow: float16 has them too.
    """
    capable = find_float16_nodes(model)
    floats = find_float_tensors(model)
    session = HostSession(model, fused=False, tensors=_list_made(model, floats))
    looks: dict[str, _Look] = defaultdict(_Look)
    divisors = trace_divisors(model)
    dividing = {divisor.tensor for divisor in divisors}
    for tensor in model.graph.initializer:
        if tensor.name in floats:
            looks[tensor.name].add(numpy_helper.to_array(tensor), divides=tensor.name in dividing)
    for feed in feeds:
        for name, values in session.run(feed).items():
            looks[name].add(values, divides=name in dividing)
        on_batch()
    biases = {node.input[2] for node in model.graph.node if node.op_type in _BIASED and len(node.input) > 2}
    found = {name: look.find_problem(sqnr_db_min, is_bias=name in biases) for name, look in looks.items()}
    problems = {name: problem for name, problem in found.items() if problem is not None}
    reasons: dict[str, str] = {}
    for node in model.graph.node:
        spoiled = [name for name in [*node.input, *node.output] if name in problems]
        if spoiled and node.name in capable:
            reasons[node.name] = f"tensor {spoiled[0]} {problems[spoiled[0]]}"
    for divisor in divisors:
        vanishing = looks[divisor.tensor].vanishing if divisor.tensor in looks else None
        if vanishing is not None:
            reason = (
                f"{divisor.nodes[0]} divides by what tensor {divisor.tensor} makes: {vanishing:.4g} is 0 in float16"
            )
            reasons |= {name: reason for name in divisor.nodes if name in capable and name not in reasons}
    return reasons


def _list_made(model: onnx.ModelProto, floats: frozenset[str]) -> list[str]:
    made = [name for node in model.graph.node for name in node.output]
    return [name for name in [value.name for value in model.graph.input] + made if name in floats]
