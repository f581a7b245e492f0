"""What a newer opset costs: the same node in several opsets, each time by ONNX Runtime on this CPU.

    python -m benchmarks.opsets [NAME ...]

For each operator one JSON line: how many times as fast opset 17 is as the named one, with its 99 % interval, interleaved
in one run, one thread, batch 1. "alone" is the node by itself, "between" is the node between two convolutions, where
ONNX Runtime keeps a blocked layout for those kernels that it knows in this opset.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, parser, version_converter

from toolchain.agent.measure.latency import measure_latency

_OLD = 17
_OPSETS = (18, 20, 21)
_SAMPLES = 300
_LIMIT_S = 4.0

# Name to shape of x, and text of the node or nodes that read x and make y; `w…` and the like are random weights.
_NODES: dict[str, tuple[tuple[int, ...], str]] = {
    "AveragePool 1-D": ((1, 16, 1024), "y = AveragePool <kernel_shape = [4], strides = [4]> (x)"),
    "AveragePool 2-D, 3 channels": ((1, 3, 112, 112), "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)"),
    "AveragePool 2-D, 12 channels": ((1, 12, 56, 56), "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)"),
    "AveragePool 2-D, 32 channels": ((1, 32, 56, 56), "y = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)"),
    "AveragePool 3-D": ((1, 16, 16, 16, 16), "y = AveragePool <kernel_shape = [2, 2, 2], strides = [2, 2, 2]> (x)"),
    "MaxPool 2-D": ((1, 12, 56, 56), "y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)"),
    "GlobalAveragePool": ((1, 32, 56, 56), "y = GlobalAveragePool (x)"),
    "LpPool": ((1, 16, 56, 56), "y = LpPool <kernel_shape = [2, 2], strides = [2, 2]> (x)"),
    "Resize nearest": ((1, 32, 28, 28), 'y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> (x, , scales)'),
    "Resize linear": ((1, 32, 28, 28), 'y = Resize <mode = "linear"> (x, , scales)'),
    "Pad": ((1, 32, 56, 56), "y = Pad (x, pads)"),
    "ReduceMean of planes": ((1, 32, 56, 56), "y = ReduceMean <axes = [2, 3]> (x)"),
    "ReduceMax of channels": ((1, 32, 56, 56), "y = ReduceMax <axes = [1]> (x)"),
    "ReduceSum of rows": ((1, 128, 256), "y = ReduceSum (x, last)"),
    "Relu": ((1, 32, 56, 56), "y = Relu (x)"),
    "Add": ((1, 32, 56, 56), "y = Add (x, x)"),
    "Sigmoid": ((1, 32, 56, 56), "y = Sigmoid (x)"),
    "HardSwish": ((1, 32, 56, 56), "y = HardSwish (x)"),
    "Gelu in parts": ((1, 128, 256), "a = Mul (x, root_half) b = Erf (a) c = Add (b, one) d = Mul (x, half) y = Mul (d, c)"),
    "Softmax": ((1, 128, 256), "y = Softmax <axis = -1> (x)"),
    "LayerNormalization": ((1, 128, 256), "y = LayerNormalization <axis = -1> (x, w256)"),
    "InstanceNormalization": ((1, 32, 56, 56), "y = InstanceNormalization (x, w32, w32)"),
    "BatchNormalization": ((1, 32, 56, 56), "y = BatchNormalization (x, w32, w32, w32, p32)"),
    "MatMul": ((1, 128, 256), "y = MatMul (x, w256x256)"),
    "Gemm": ((16, 256), "y = Gemm (x, w256x256, w256)"),
    "Conv": ((1, 32, 56, 56), "y = Conv <pads = [1, 1, 1, 1]> (x, w32x32x3x3)"),
    "ConvTranspose": ((1, 32, 28, 28), "y = ConvTranspose <strides = [2, 2]> (x, w32x32x3x3)"),
    "Concat": ((1, 32, 56, 56), "y = Concat <axis = 1> (x, x)"),
    "Split": ((1, 32, 56, 56), "a, y = Split <axis = 1> (x, halves)"),
    "Slice": ((1, 32, 56, 56), "y = Slice (x, start, end, last)"),
    "Transpose": ((1, 32, 56, 56), "y = Transpose <perm = [0, 2, 3, 1]> (x)"),
    "Reshape": ((1, 32, 56, 56), "y = Reshape (x, flat)"),
    "Cast": ((1, 32, 56, 56), "y = Cast <to = 10> (x)"),
    "Gather": ((1, 128, 256), "y = Gather <axis = 1> (x, start)"),
    "LSTM": ((64, 1, 32), "y, h, c = LSTM <hidden_size = 32> (x, w1x128x32, w1x128x32)"),
    "GRU": ((64, 1, 32), "y, h = GRU <hidden_size = 32> (x, w1x96x32, w1x96x32)"),
    "GridSample": ((1, 32, 28, 28), "y = GridSample (x, w1x28x28x2)"),
}  # fmt: skip

# A convolution cannot follow them.
_FLATTENS = frozenset({"Reshape", "Cast"})

_CONSTANTS = {
    "scales": np.float32([1, 1, 2, 2]),
    "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
    "last": np.int64([-1]),
    "halves": np.int64([16, 16]),
    "start": np.int64([1]),
    "end": np.int64([40]),
    "flat": np.int64([1, -1]),
    "one": np.float32(1),
    "half": np.float32(0.5),
    "root_half": np.float32(0.5**0.5),
}


def make_model(shape: tuple[int, ...], nodes: str, *, between: bool) -> onnx.ModelProto:
    """Return the model of these nodes, alone or between two convolutions, in the old opset."""
    channels = shape[1]
    if between:
        source = f"x = Conv <pads = [1, 1, 1, 1]> (in, w{channels}x{channels}x3x3) "
        nodes = f"{source}{nodes} out = Conv (y, w16xNx1x1)"
    else:
        nodes = nodes.replace("(x", "(in").replace(" x)", " in)").replace("y =", "out =").replace("y, ", "out, ")
        nodes = nodes.replace("a, y", "a, out")
    graph = parser.parse_graph(f"g (float[{', '.join(map(str, shape))}] in) => (float out) {{ {nodes} }}")
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", _OLD)], ir_version=8)
    made = {name for node in graph.node for name in node.output} | {"in", ""}
    rng = np.random.default_rng(0)
    for name in dict.fromkeys(name for node in graph.node for name in node.input):
        if name in _CONSTANTS:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(_CONSTANTS[name]), name))
        elif name not in made:
            sizes = [_infer_channels(model) if size == "N" else int(size) for size in name[1:].split("x")]
            value = rng.random(sizes).astype(np.float32)
            model.graph.initializer.append(numpy_helper.from_array(value, name))
    model.graph.output[0].CopyFrom(onnx.helper.make_empty_tensor_value_info("out"))
    inferred = onnx.shape_inference.infer_shapes(model)
    types = {value.name: value for value in (*inferred.graph.value_info, *inferred.graph.output)}
    model.graph.output[0].CopyFrom(types["out"])
    return model


def _infer_channels(model: onnx.ModelProto) -> int:
    inferred = onnx.shape_inference.infer_shapes(model)
    value = next(value for value in inferred.graph.value_info if value.name == "y")
    return int(value.type.tensor_type.shape.dim[1].dim_value)


def _open(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _bind_run(session: onnxruntime.InferenceSession, feed: dict[str, Any]) -> Callable[[], object]:
    return lambda: session.run(None, feed)


def measure_node(name: str, *, between: bool) -> dict[str, Any]:
    """Return the row of one operator."""
    shape, nodes = _NODES[name]
    model = make_model(shape, nodes, between=between)
    models = {_OLD: model} | {opset: version_converter.convert_version(model, opset) for opset in _OPSETS}
    feed = {"in": np.random.default_rng(1).normal(size=shape).astype(np.float32)}
    runs = {str(opset): _bind_run(_open(model), feed) for opset, model in models.items()}
    measured = measure_latency(runs, samples=_SAMPLES, limit_s=_LIMIT_S)
    ratios = {opset: measured.compare(str(opset), str(_OLD)) for opset in _OPSETS}
    return {
        "node": name,
        "where": "between" if between else "alone",
        f"opset_{_OLD}_p50_ms": round(measured.summarize(str(_OLD)).p50_ms or 0.0, 4),
        **{
            f"opset_{opset}": [round(value, 3) for value in (ratio.ratio, ratio.low, ratio.high) if value is not None]
            for opset, ratio in ratios.items()
        },
    }


def main() -> None:
    """Print one row per operator and place."""
    for name in sys.argv[1:] or _NODES:
        keeps_planes = len(_NODES[name][0]) == 4 and name not in _FLATTENS
        for between in (False, True) if keeps_planes else (False,):
            row = measure_node(name, between=between)
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
