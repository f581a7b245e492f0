"""Which kernels a CPU has for numbers of other kinds than int8 and float32, and what each is worth beside float32.

    python -m benchmarks.kernels [NAME ...]

16-bit activations, weights alone in 8 and 4 bits (MatMulNBits), float16, bfloat16 and rows of a table in 8 bits in ONNX
Runtime, bf16 and f16 in OpenVINO. One JSON line per case and kind, all kinds of a case interleaved in one run of one
thread: how many times as fast as float32 it is, with its 99 % interval; the bytes of its weights; its SQNR in dB; and
the operators that ran, each with the type of its first input.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolchain.agent.measure.latency import measure_latency
from toolchain.agent.measure.runtimes import openvino
from toolchain.agent.measure.sqnr import measure_powers, to_db
from toolchain.agent.temporary import TemporaryFolder
from toolchain.graph.session import open_as_board, profile_runs

_SAMPLES = 200
_LIMIT_S = 6.0
_BLOCK = 32
CONTRIB = "com.microsoft"
Feed = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """One layer in float32 and in other kinds, on one input."""

    feed: Feed
    kinds: Mapping[str, onnx.ModelProto]
    """By name; "float32" among them."""


def make_model(nodes: list[onnx.NodeProto], constants: Mapping[str, NDArray[Any]], feed: Feed) -> onnx.ModelProto:
    """Return the model of these nodes from the tensors of a feed to a float tensor y."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in feed.items()
    ]
    graph = helper.make_graph(
        nodes,
        "kernels",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    # The first in which Conv may be bfloat16.
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _quantize_rows(weight: NDArray[np.float32], largest: int = 127) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return the integers of each row of a weight (rows, columns), and the rows' scales."""
    scales = np.abs(weight).reshape(len(weight), -1).max(axis=1).astype(np.float32) / np.float32(largest)
    shape = (-1, *[1] * (weight.ndim - 1))
    return np.rint(weight / scales.reshape(shape)).astype(np.int8), scales


def _make_pairs(
    op: str,
    x: NDArray[np.float32],
    weight: NDArray[np.float32],
    dtype: type[np.unsignedinteger[Any]],
    **attributes: Any,
) -> onnx.ModelProto:
    """Return a layer between Q/DQ pairs of this activation type, weights in int8, by output channel."""
    steps = np.iinfo(dtype).max
    rows = weight if op == "Conv" else np.ascontiguousarray(weight.T)
    values, scales = _quantize_rows(rows)
    zero_point = dtype(steps // 2 + 1)
    constants = {
        "xs": np.float32(2 * np.abs(x).max() / steps),
        "xz": zero_point,
        "w": values if op == "Conv" else np.ascontiguousarray(values.T),
        "ws": scales,
        "wz": np.zeros(len(scales), np.int8),
        "ys": np.float32(2 * 4 * np.sqrt(rows[0].size) * weight.std() / steps),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0 if op == "Conv" else 1),
        helper.make_node(op, ["xd", "wd"], ["p"], **attributes),
        helper.make_node("QuantizeLinear", ["p", "ys", "xz"], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", "ys", "xz"], ["y"]),
    ]
    return make_model(nodes, {name: np.asarray(value) for name, value in constants.items()}, {"x": x})


def _make_half(
    op: str, x: NDArray[np.float32], weight: NDArray[np.float32], kind: int, **attributes: Any
) -> onnx.ModelProto:
    """Return a layer in a type of 16 bits between casts."""
    nodes = [
        helper.make_node("Cast", ["x"], ["xh"], to=kind),
        helper.make_node("Cast", ["w"], ["wh"], to=kind),
        helper.make_node(op, ["xh", "wh"], ["yh"], **attributes),
        helper.make_node("Cast", ["yh"], ["y"], to=TensorProto.FLOAT),
    ]
    return make_model(nodes, {"w": weight}, {"x": x})


def _make_layer(op: str, x: NDArray[np.float32], weight: NDArray[np.float32], **attributes: Any) -> Case:
    plain = make_model([helper.make_node(op, ["x", "w"], ["y"], **attributes)], {"w": weight}, {"x": x})
    kinds = {
        "float32": plain,
        "pairs of uint8": _make_pairs(op, x, weight, np.uint8, **attributes),
        "pairs of uint16": _make_pairs(op, x, weight, np.uint16, **attributes),
        "float16": _make_half(op, x, weight, TensorProto.FLOAT16, **attributes),
        "bfloat16": _make_half(op, x, weight, TensorProto.BFLOAT16, **attributes),
    }
    return Case({"x": x}, kinds)


def _make_dynamic(x: NDArray[np.float32], weight: NDArray[np.float32]) -> onnx.ModelProto:
    values, scales = _quantize_rows(np.ascontiguousarray(weight.T))
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["xq", "xs", "xz"]),
        helper.make_node("MatMulInteger", ["xq", "w", "xz"], ["p"]),
        helper.make_node("Cast", ["p"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["xs", "ws"], ["s"]),
        helper.make_node("Mul", ["f", "s"], ["y"]),
    ]
    return make_model(nodes, {"w": np.ascontiguousarray(values.T), "ws": scales}, {"x": x})


def pack_blocks(weight: NDArray[np.float32], *, bits: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a weight (inputs, outputs) as MatMulNBits reads it, symmetric: (outputs, blocks, bytes), and its scales."""
    inputs, outputs = weight.shape
    blocks = weight.T.reshape(outputs, inputs // _BLOCK, _BLOCK)
    middle = 2 ** (bits - 1)
    scales = np.abs(blocks).max(axis=2) / np.float32(middle - 1)
    values = (np.rint(blocks / np.maximum(scales, np.finfo(np.float32).tiny)[:, :, None]) + middle).astype(np.uint8)
    return values if bits == 8 else values[:, :, ::2] | values[:, :, 1::2] << 4, scales.reshape(-1)


def _make_blocks(
    x: NDArray[np.float32], weight: NDArray[np.float32], *, bits: int, accuracy_level: int
) -> onnx.ModelProto:
    """Return a product whose weight alone is in integers, a scale for each block of a column (MatMulNBits)."""
    inputs, outputs = weight.shape
    packed, scales = pack_blocks(weight, bits=bits)
    node = helper.make_node(
        "MatMulNBits",
        ["x", "w", "ws"],
        ["y"],
        domain=CONTRIB,
        K=inputs,
        N=outputs,
        bits=bits,
        block_size=_BLOCK,
        accuracy_level=accuracy_level,
    )
    return make_model([node], {"w": packed, "ws": scales}, {"x": x})


def _make_product(rows: int, inputs: int, outputs: int) -> Case:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, inputs)).astype(np.float32)
    weight = rng.normal(size=(inputs, outputs)).astype(np.float32)
    plain = make_model([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": weight}, {"x": x})
    blocks = {
        f"MatMulNBits {bits} bits, accuracy_level {level}": _make_blocks(x, weight, bits=bits, accuracy_level=level)
        for bits in (8, 4)
        for level in (1, 4)
    }
    return Case({"x": x}, {"float32": plain, "dynamic int8": _make_dynamic(x, weight), **blocks})


def _make_convolution() -> Case:
    rng = np.random.default_rng(0)
    x, weight = (rng.normal(size=shape).astype(np.float32) for shape in ((1, 64, 28, 28), (64, 64, 3, 3)))
    return _make_layer("Conv", x, weight, pads=[1, 1, 1, 1])


def _make_dense() -> Case:
    rng = np.random.default_rng(0)
    x, weight = (rng.normal(size=shape).astype(np.float32) for shape in ((128, 384), (384, 1536)))
    return _make_layer("MatMul", x, weight)


def _make_table() -> Case:
    """Return a table of words as large as MiniLM's, of which 128 rows are read."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(30_522, 384)).astype(np.float32)
    values, scales = _quantize_rows(table)
    feed = {"x": rng.integers(0, len(table), (1, 128))}
    gather = helper.make_node("Gather", ["t", "x"], ["y"])
    rows = [
        helper.make_node("Gather", ["t", "x"], ["q"]),
        helper.make_node("Gather", ["s", "x"], ["r"]),
        helper.make_node("Cast", ["q"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "r"], ["y"]),
    ]
    columns = np.abs(table).max(axis=0) / np.float32(127)
    by_column = [
        helper.make_node("Gather", ["t", "x"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["y"], axis=2),
    ]
    restored = [
        helper.make_node("DequantizeLinear", ["t", "s"], ["f"], axis=0),
        helper.make_node("Gather", ["f", "x"], ["y"]),
    ]
    blocks = helper.make_node(
        "GatherBlockQuantized", ["t", "x", "s"], ["y"], domain=CONTRIB, bits=8, block_size=128, quantize_axis=1
    )
    parts = table.reshape(len(table), -1, 128)
    block_scales = np.abs(parts).max(axis=2) / np.float32(127)
    in_blocks = (np.rint(parts / block_scales[:, :, None]) + 128).astype(np.uint8).reshape(table.shape)
    kinds = {
        "float32": make_model([gather], {"t": table}, feed),
        "int8, a scale each row": make_model(rows, {"t": values, "s": scales[:, None]}, feed),
        "int8, a scale each column": make_model(
            by_column, {"t": np.rint(table / columns).astype(np.int8), "s": columns}, feed
        ),
        "DequantizeLinear before Gather": make_model(restored, {"t": values, "s": scales}, feed),
        "GatherBlockQuantized 8 bits": make_model([blocks], {"t": in_blocks, "s": block_scales}, feed),
    }
    return Case(feed, kinds)


_CASES: dict[str, Callable[[], Case]] = {
    "Conv 64x64x3x3 on 28x28": _make_convolution,
    "MatMul 128x384x1536": _make_dense,
    "table 30522x384": _make_table,
    **{
        f"product {rows}x{inputs}x{outputs}": partial(_make_product, rows, inputs, outputs)
        for rows, inputs, outputs in ((1, 384, 1536), (128, 384, 1536), (1, 4096, 4096), (16, 4096, 4096))
    },
}
_HINTS = {"float32": "f32", "pairs of uint8": "f32", "pairs of uint16": "f32", "bf16": "bf16", "f16": "f16"}
_OPENVINO = {f"{name}, OpenVINO": name for name in ("Conv 64x64x3x3 on 28x28", "MatMul 128x384x1536")}


def measure_case(name: str) -> Iterator[dict[str, Any]]:
    """Yield the row of each kind of a case that ONNX Runtime opens; of one that it refuses, why."""
    case = _CASES[name]()
    runs: dict[str, Callable[[], object]] = {}
    rows: dict[str, dict[str, Any]] = {}
    expected: NDArray[Any] | None = None
    for kind, model in case.kinds.items():
        rows[kind] = {"case": name, "kind": kind}
        try:
            found = open_as_board(model, threads=1).run(case.feed)["y"]
            session = open_as_board(model, threads=1, is_timed=True)
            rows[kind]["operators"] = _list_operators(model, case.feed)
        except Exception as error:  # noqa: BLE001 - that there is no kernel is the answer
            rows[kind]["refused"] = " ".join(str(error).split())
            continue
        expected = found if expected is None else expected
        powers = measure_powers(expected, found)
        rows[kind]["weight_bytes"] = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
        rows[kind]["sqnr_db"] = round(float(to_db(powers.signal, powers.noise)), 1)
        runs[kind] = partial(session.run, case.feed)
    yield from _compare(runs, rows)


def measure_openvino(name: str, source: str) -> Iterator[dict[str, Any]]:
    """Yield the row of each precision that OpenVINO may compute float32 in."""
    openvino.load()
    import openvino as library

    case = _CASES[source]()
    runs: dict[str, Callable[[], object]] = {}
    rows: dict[str, dict[str, Any]] = {}
    expected: NDArray[Any] | None = None
    with TemporaryFolder() as folder:
        path = Path(folder) / "model.onnx"
        for kind, hint in _HINTS.items():
            path.write_bytes(case.kinds.get(kind, case.kinds["float32"]).SerializeToString())
            properties = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": hint}
            compiled = library.Core().compile_model(str(path), "CPU", properties)
            request = compiled.create_infer_request()
            found = request.infer(case.feed)[0].copy()
            expected = found if expected is None else expected
            powers = measure_powers(expected, found)
            kernels = [
                str(node.get_rt_info()["primitiveType"].value)
                for node in compiled.get_runtime_model().get_ordered_ops()
                if node.get_rt_info()["layerType"].value in {"Convolution", "FullyConnected", "MatMul"}
            ]
            rows[kind] = {
                "case": name,
                "kind": kind,
                "operators": kernels,
                "sqnr_db": round(float(to_db(powers.signal, powers.noise)), 1),
            }
            runs[kind] = partial(request.infer, case.feed)
        yield from _compare(runs, rows)


def _compare(runs: Mapping[str, Callable[[], object]], rows: Mapping[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    measured = measure_latency(runs, samples=_SAMPLES, limit_s=_LIMIT_S)
    for kind, row in rows.items():
        if kind in runs:
            ratio = measured.compare("float32", kind)
            values = (ratio.ratio, ratio.low, ratio.high)
            row["p50_ms"] = round(measured.summarize(kind).p50_ms or 0.0, 4)
            row["times_as_fast"] = [round(value, 2) for value in values if value is not None]
        yield row


def _list_operators(model: onnx.ModelProto, feed: Feed) -> list[str]:
    """Return the operators of a run, in order, each with the type of its first input."""
    events = profile_runs(model, feed, threads=1, runs=1)
    found = [event["args"] for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    return [f"{args['op_name']} {next(iter(args['input_type_shape'][0]), '')}" for args in found]


def main() -> None:
    """Print one row per case and kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [*_CASES, *_OPENVINO]
    parser.add_argument("names", nargs="*", metavar="NAME", help="; ".join(known))
    names = parser.parse_args().names or known
    if unknown := set(names) - set(known):
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    for name in names:
        rows = measure_openvino(name, _OPENVINO[name]) if name in _OPENVINO else measure_case(name)
        for row in rows:
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
