"""What a scale for each channel of an activation would be worth, and what ONNX Runtime takes for it: tried, and not kept.

    python -m benchmarks.channel_scales [MODEL ...]

One JSON line per model of benchmarks/wild_models.py. `sqnr_db`: all layers in int8, nothing corrected, on 32 samples that calibration
did not see, by calibration method: one scale a tensor ("tensor"), one a channel with a common zero point ("channel", 1.3 times what
64 samples showed), all layers but the depthwise ones in int8 ("no depthwise"), and ranges that end where HardSwish is zero anyway
("hardswish"). `ms`: the least time of a run in float, in int8, and in int8 with what a scale for each channel needs between a
convolution and a HardSwish: pairs with an axis, or a Mul by channel. Times give no more than the order on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.wild_models import NAMES, fetch, list_feeds
from toolchain.agent.measure.parity import Parity
from toolchain.graph.file import read_onnx
from toolchain.graph.session import HostSession, open_as_board
from toolchain.graph.view import GraphView, rename_reads
from toolchain.lower.calibration import choose_ranges, observe_tensors
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.optimize import optimize

_HEAD_ROOM = 1.3
# A channel of fewer values than these in a sample shows too little of its range.
_POSITIONS_MIN = 36
_RUNS = 60

Feed = Mapping[str, NDArray[Any]]
Bounds = tuple[NDArray[np.float32], NDArray[np.float32]]


def observe_channels(model: onnx.ModelProto, tensors: Sequence[str], feeds: Sequence[Feed]) -> dict[str, Bounds]:
    """Return the bounds of each channel, (channels,) each, of the tensors that have positions."""
    session, found = HostSession(model, tensors=list(tensors)), dict[str, Bounds]()
    for feed in feeds:
        values = session.run(feed)
        for name in tensors:
            value = values[name]
            if value.ndim == 4 and value.shape[2] * value.shape[3] >= _POSITIONS_MIN:
                low, high = (edge(value, axis=(0, 2, 3)) * _HEAD_ROOM for edge in (np.min, np.max))
                known = found.get(name, (low, high))
                found[name] = np.minimum(low, known[0]), np.maximum(high, known[1])
    return found


def _choose_scales(range_: TensorRange, bounds: Bounds | None) -> tuple[NDArray[np.float32], int]:
    """Return the scale, or that of each channel, and the zero point, which is one: convolutions pad with it."""
    if bounds is None:
        scale = max((range_.high - range_.low) / 255, 1e-12)
        return np.float32(scale), round(-range_.low / scale)  # type: ignore[return-value]
    low = np.minimum(np.maximum(bounds[0], range_.low), 0)
    high = np.maximum(np.minimum(bounds[1], range_.high), 0)
    zeros = range(1, 255) if (low < 0).any() else range(1)
    scales = {zero: np.maximum(np.maximum(-low / max(zero, 1), high / (255 - zero)), 1e-8) for zero in zeros}
    best = min(scales, key=lambda zero: float(np.log(scales[zero]).sum()))
    return scales[best].astype(np.float32), best


def write_rounded(
    model: onnx.ModelProto, plan: QdqPlan, ranges: Mapping[str, TensorRange], channels: Mapping[str, Bounds]
) -> onnx.ModelProto:
    """Return the model with weights on their grid and a pair behind each tensor of a plan, computed in float."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in made.graph.initializer}
    for node in plan.nodes:
        if node.weight is not None:
            values = numpy_helper.to_array(weights[node.weight.source])
            others = tuple(index for index in range(values.ndim) if index != node.weight.stored_axis)
            step = np.maximum(np.abs(values).max(axis=others, keepdims=True) / 127, 1e-12)
            rounded = (np.round(values / step) * step).astype(np.float32)
            weights[node.weight.source].CopyFrom(numpy_helper.from_array(rounded, node.weight.source))
    pairs = {name: _write_pair(made, name, *_choose_scales(ranges[name], channels.get(name))) for name in plan.tensors}
    produced = {output for node in model.graph.node for output in node.output}
    nodes = [node for name, pair in pairs.items() if name not in produced for node in pair]
    for node in made.graph.node:
        rename_reads(node, {name: f"{name}_rounded" for name in plan.tensors})
        nodes.extend([node, *(pair for output in node.output for pair in pairs.get(output, ()))])
    made.graph.ClearField("node")
    made.graph.ClearField("value_info")
    made.graph.node.extend(nodes)
    return made


def _write_pair(
    model: onnx.ModelProto, name: str, scale: NDArray[np.float32], zero: int
) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    zeros = np.full(np.shape(scale), zero, np.uint8)
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(scale), f"{name}_scale"))
    model.graph.initializer.append(numpy_helper.from_array(zeros, f"{name}_zero"))
    parameters, axis = [f"{name}_scale", f"{name}_zero"], {"axis": 1} if np.ndim(scale) else {}
    return (
        helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}_integers"], None, None, None, None, **axis),
        helper.make_node(
            "DequantizeLinear", [f"{name}_integers", *parameters], [f"{name}_rounded"], None, None, None, None, **axis
        ),
    )


def end_at_zero(model: onnx.ModelProto, ranges: Mapping[str, TensorRange]) -> dict[str, TensorRange]:
    """Return the ranges of what only a HardSwish reads without what it makes zero, but for a step."""
    readers = GraphView.from_model(model).consumers
    cut = dict(ranges)
    for name, range_ in ranges.items():
        if {node.op_type for node in readers.get(name, ())} == {"HardSwish"} and range_.low < -3:
            cut[name] = TensorRange(low=max(range_.low, -3 - (range_.high + 3) / 250), high=range_.high)
    return cut


def spread_over_channels(
    lowered: onnx.ModelProto, channels: Mapping[str, Bounds], *, multiply: bool
) -> onnx.ModelProto:
    """Return an int8 model with a scale for each channel in front of and behind its HardSwish nodes; numbers stay as they are."""
    made = onnx.ModelProto()
    made.CopyFrom(lowered)
    view = GraphView.from_model(lowered)
    nodes: list[onnx.NodeProto] = []
    for node in made.graph.node:
        name = node.output[0]
        reads = node.op_type == "DequantizeLinear" and _lists(view.consumers.get(name, ()), "HardSwish")
        writes = node.op_type == "QuantizeLinear" and _lists([view.producers.get(node.input[0])], "HardSwish")
        bounds = channels.get(_name_source(view, node)) if reads or writes else None
        size = 0 if bounds is None else len(bounds[0])
        if not size:
            nodes.append(node)
        elif multiply:
            ones = numpy_helper.from_array(
                np.linspace(0.99, 1, size, dtype=np.float32).reshape(1, -1, 1, 1), f"{name}_ones"
            )
            made.graph.initializer.append(ones)
            through = f"{name}_through"
            inner = [node.input[0], through] if writes else [through, name]
            if writes:
                node.input[0] = through
            else:
                node.output[0] = through
            product = helper.make_node("Mul", [inner[0], ones.name], [inner[1]])
            nodes.extend([product, node] if writes else [node, product])
        else:
            for index in (1, 2):
                values = np.broadcast_to(view.constant(node.input[index]), (size,))  # type: ignore[arg-type]
                made.graph.initializer.append(numpy_helper.from_array(np.array(values), f"{name}_each_{index}"))
                node.input[index] = f"{name}_each_{index}"
            node.attribute.append(helper.make_attribute("axis", 1))
            nodes.append(node)
    made.graph.ClearField("node")
    made.graph.node.extend(nodes)
    return made


def _lists(nodes: Sequence[onnx.NodeProto | None], operator: str) -> bool:
    return [node.op_type for node in nodes if node is not None] == [operator]


def _name_source(view: GraphView, node: onnx.NodeProto) -> str:
    return str(node.input[0] if node.op_type == "QuantizeLinear" else view.producers[node.input[0]].input[0])


def time_models(models: Mapping[str, onnx.ModelProto], feed: Feed) -> dict[str, float]:
    """Return the least time of a run in milliseconds, all models in turns."""
    sessions = {name: open_as_board(model, threads=1, is_timed=True) for name, model in models.items()}
    least = dict.fromkeys(sessions, float("inf"))
    for _ in range(_RUNS):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(feed)
            least[name] = min(least[name], 1e3 * (time.perf_counter() - start))
    return {name: round(value, 2) for name, value in least.items()}


def try_model(path: Path) -> dict[str, Any]:
    """Return the row of a model."""
    calibration, evaluation = list_feeds(path, 0, 64), list_feeds(path, 96, 128)
    model = optimize(read_onnx(path, trusted=True), calibration[:4]).model
    policy = int8_policy(choose_scheme("x86_64", frozenset({"avx_vnni"}), "auto"))
    plan = policy.plan(model, frozenset())
    depthwise = frozenset(node.name for node in plan.nodes if node.weight is not None and node.weight.is_depthwise)
    observations = observe_tensors(model, plan.tensors, calibration, counting=True)
    channels = observe_channels(model, plan.tensors, calibration)
    reference = [HostSession(model).run(feed) for feed in evaluation]

    def judge(rounded: onnx.ModelProto) -> float:
        parity, session = Parity(), HostSession(rounded)
        for expected, feed in zip(reference, evaluation, strict=True):
            parity.add(expected, session.run(feed))
        return round(min(row.sqnr_db for row in parity.summarize()), 1)

    sqnr_db: dict[str, dict[str, float]] = {}
    for method in ("minmax", "mse", "percentile"):
        ranges = choose_ranges(observations, method=method, symmetric=False)
        sqnr_db[method] = {
            "tensor": judge(write_rounded(model, plan, ranges, {})),
            "channel": judge(write_rounded(model, plan, ranges, channels)),
            "no depthwise": judge(write_rounded(model, policy.plan(model, depthwise), ranges, {})),
            "hardswish": judge(write_rounded(model, plan, end_at_zero(model, ranges), {})),
        }
    lowered = policy.write(model, ranges, frozenset())
    models = {
        "float": model,
        "int8": lowered,
        "axis": spread_over_channels(lowered, channels, multiply=False),
        "mul": spread_over_channels(lowered, channels, multiply=True),
    }
    return {"model": path.stem, "sqnr_db": sqnr_db, "ms": time_models(models, calibration[0])}


def main() -> None:
    """Print the row of each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help=", ".join(NAMES))
    parser.add_argument("--folder", type=Path, help="where models are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.models:
            print(json.dumps(try_model(fetch(name, options.folder or Path(temporary)))), flush=True)


if __name__ == "__main__":
    main()
