"""The head of a net, its first convolutions: in float it costs little, and often it is all that int8 needs.

What is rounded there passes every layer behind it, and in a net that shrinks its pictures few of the MACs are there: PP-OCR's
orientation classifier misses 20 dB by 4 dB with all layers in int8, and keeps it with its first four in float, 9 % of its MACs.
Layers ranked one by one do not find such a head where few samples hold the noise. Which calibration method serves the rest is
asked anew, because the one that is best for all layers is the one that the head needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import onnx
from onnx import helper

from toolchain.graph.facts import read_facts
from toolchain.graph.set_aside import copy_without_weights
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.ranges import TensorRange
from toolchain.lower.trial import Arrays, Bench, list_looks

# Where heads end, in MACs of all layers of the plan, behind one of a single layer: each is tried where the one before is not enough.
_MACS_SHARES = (0.05, 0.1, 0.2)

# What corrections gain beside a head: 0.6 dB in the orientation classifier. One that misses the gate by more is not corrected.
_CORRECTED_DB = 3.0

# By one look at 8 samples, which is all that this costs a net that no head helps: mobilenet_v2 with made weights keeps 14 dB.
_HOPELESS_DB = 4.0


def list_heads(
    model: onnx.ModelProto, plan: QdqPlan, keep_float: frozenset[str], feed: Arrays
) -> tuple[frozenset[str], ...]:
    """Return growing heads of the layers that are decided about, the first layer and more, each under a fifth of their MACs.

    feed: a sample, for the shapes that the model leaves open. None where the first layer is no convolution, or where MACs
    cannot be counted: what is early in a transformer is no smaller.
    """
    operators = {node.name: node.op_type for node in plan.nodes}
    layers = {name: shared for name, shared in plan.deciding_layers.items() if not keep_float.intersection(shared)}
    if not layers or operators[next(iter(layers))] != "Conv":
        return ()
    counted = {layer.name: layer.macs for layer in read_facts(_state_shapes(model, feed)).layers}
    macs = {name: sum(counted.get(node) or 0 for node in shared) for name, shared in layers.items()}
    heads: dict[frozenset[str], None] = {}
    for share in _MACS_SHARES:
        head, left = list[str](), share * sum(macs.values())
        for name in layers:
            left -= macs[name]
            if left <= 0 or operators[name] != "Conv":
                break
            head.append(name)
        if head:
            heads[frozenset(head)] = None
    first = frozenset(list(layers)[:1])
    return tuple(dict.fromkeys([first, *heads])) if heads else ()


def _state_shapes(model: onnx.ModelProto, feed: Arrays) -> onnx.ModelProto:
    """Return a copy of the model whose inputs have the shapes of a sample."""
    stated = copy_without_weights(model)
    stated.graph.initializer.extend(model.graph.initializer)
    for value in stated.graph.input:
        if value.name in feed:
            kind = value.type.tensor_type.elem_type
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, feed[value.name].shape))
    return stated


def race_methods(
    bench: Bench,
    policy: Int8Policy,
    found: Mapping[str, Mapping[str, TensorRange]],
    keep_float: frozenset[str],
    heads: Sequence[frozenset[str]],
    *,
    sqnr_db_min: float,
) -> Iterator[tuple[frozenset[str], str, Bench]]:
    """Yield each head that is nearly enough with the calibration method that serves best beside it, and the bench of that.

    found: the ranges by method. Nothing where not even the longest head brings any method near the gate.
    """
    racing = {
        method: replace(bench, build=partial(policy.write, bench.model, ranges)) for method, ranges in found.items()
    }
    look, *_ = list_looks(len(bench.feeds))
    longest = [_measure_worst_db(racer, keep_float.union(*heads[-1:]), samples=look) for racer in racing.values()]
    if max(longest) < sqnr_db_min - _HOPELESS_DB:
        return
    for head in heads:
        # On all samples: where one of them holds the noise, methods that look alike after eight are not.
        trials = {
            method: racer.try_out(keep_float | head, sqnr_db_min=sqnr_db_min - _CORRECTED_DB)
            for method, racer in racing.items()
        }
        best = max(trials, key=lambda method: (trials[method].passes, trials[method].low_db))
        if trials[best].passes:
            yield head, best, racing[best]


def _measure_worst_db(bench: Bench, keep_float: frozenset[str], *, samples: int) -> float:
    estimates = bench.measure_outputs_db(keep_float, samples=samples)
    return min(estimate.sqnr_db for estimate in estimates.values())
