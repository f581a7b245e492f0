"""What options of a session gain over none, by the interval of a verdict: `python -m benchmarks.session_options MODEL.onnx ...`.

One table for each model: pinned threads against free ones, by each runtime that is here; in ONNX Runtime weights that are not
packed, and float convolutions in the layout of the file (both on one thread). Last comes a made net of int8 products of which 90 %
of the weights are zero, by OpenVINO with and without what it calls sparse decompression. More than 1 is faster than without.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.latency import measure_latency
from toolchain.agent.measure.libraries import find_module
from toolchain.agent.measure.openvino.library import load_openvino
from toolchain.agent.measure.session import open_session

_LIMIT_S = 20.0
_THREADS = 2
_WIDTH, _LAYERS, _ROWS, _ZEROS = 1024, 6, 16, 0.9

Runs = Mapping[str, Callable[[], object]]
"""Without and with the option."""


def _make_feeds(path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    types = {"float": np.float32, "int64": np.int64, "uint8": np.uint8}
    feeds = {}
    for spec in onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_inputs():
        free = {4: 224, 2: 64}.get(len(spec.shape), 16)
        shape = [size if isinstance(size, int) else (free if axis else 1) for axis, size in enumerate(spec.shape)]
        dtype = types[spec.type[len("tensor(") : -1]]
        feeds[spec.name] = rng.random(shape).astype(dtype) if dtype == np.float32 else np.ones(shape, dtype)
    return feeds


def _open_onnxruntime(path: Path, entries: Mapping[str, str], disabled: list[str]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=disabled
    )


def _bind(
    path: Path, entries: Mapping[str, str] | None = None, disabled: list[str] | None = None
) -> Callable[[], object]:
    session, feeds = _open_onnxruntime(path, entries or {}, disabled or []), _make_feeds(path)
    return lambda: session.run(None, feeds)


def _bind_pinned(path: Path, runtime: str) -> Runs:
    feeds = _make_feeds(path)
    free, pinned = (open_session(runtime, path, _THREADS, pins_threads=pins) for pins in (False, True))
    return {"without": lambda: free.run(feeds), "with": lambda: pinned.run(feeds)}


def _list_options(path: Path, runtimes: list[str]) -> Mapping[str, Runs]:
    return {
        **{f"{runtime}, {_THREADS} threads: pinned": _bind_pinned(path, runtime) for runtime in runtimes},
        "onnxruntime: weights not packed": {
            "without": _bind(path),
            "with": _bind(path, {"session.disable_prepacking": "1"}),
        },
        "onnxruntime: layout of the file": {
            "without": _bind(path),
            "with": _bind(path, disabled=["NchwcTransformer"]),
        },
    }


def _write_sparse(path: Path) -> None:
    rng, nodes, weights, at = np.random.default_rng(0), [], [], "x"

    def keep(name: str, array: Any) -> str:
        weights.append(numpy_helper.from_array(array, name))
        return name

    for layer in range(_LAYERS):
        weight = rng.integers(-127, 128, (_WIDTH, _WIDTH)).astype(np.int8)
        weight[rng.random(weight.shape) < _ZEROS] = 0
        quantized = [keep(f"s{layer}", np.float32(0.02)), keep(f"z{layer}", np.uint8(128))]
        scaled = [keep(f"w{layer}", weight), keep(f"ws{layer}", np.full(_WIDTH, 5e-4, np.float32))]
        zero = keep(f"wz{layer}", np.zeros(_WIDTH, np.int8))
        nodes += [
            helper.make_node("QuantizeLinear", [at, *quantized], [f"q{layer}"]),
            helper.make_node("DequantizeLinear", [f"q{layer}", *quantized], [f"d{layer}"]),
            helper.make_node("DequantizeLinear", [*scaled, zero], [f"wd{layer}"], axis=1),
            helper.make_node("MatMul", [f"d{layer}", f"wd{layer}"], [f"m{layer}"]),
            helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"]),
        ]
        at = f"r{layer}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [_ROWS, _WIDTH]) for name in ("x", at)]
    graph = helper.make_graph(nodes, "sparse", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def _bind_sparse(path: Path) -> Runs:
    load_openvino()
    import openvino

    feeds = {"x": np.random.default_rng(1).standard_normal((_ROWS, _WIDTH)).astype(np.float32)}

    def open_with(rate: float) -> Callable[[], object]:
        own = {"CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE": rate, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
        request = openvino.Core().compile_model(str(path), "CPU", own).create_infer_request()
        return lambda: request.infer(feeds)

    return {"without": open_with(1.0), "with": open_with(0.5)}


def _write_row(name: str, runs: Runs) -> str:
    measured = measure_latency(runs, limit_s=_LIMIT_S)
    medians_ms = [float(np.median(measured.list_samples_ms(each))) for each in ("without", "with")]
    ratio = measured.compare("without", "with")
    interval = "unknown" if ratio.low is None else f"×{ratio.ratio:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"
    return f"| {name} | {medians_ms[0]:.3f} | {medians_ms[1]:.3f} | {interval} |"


def main(paths: list[str]) -> None:
    """Print a table for each model, and one for the sparse net."""
    has_openvino = find_module("openvino") is not None
    head = "| option | without, ms | with, ms | gain |\n| --- | --: | --: | --: |"
    for path in map(Path, paths):
        print(f"\n{path.name}, {read_facts('onnxruntime').cpu}\n\n{head}")
        for name, runs in _list_options(path, ["onnxruntime", *(["openvino"] if has_openvino else [])]).items():
            print(_write_row(name, runs), flush=True)
    if has_openvino:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sparse.onnx"
            _write_sparse(path)
            print(f"\n{_ZEROS:.0%} zeros\n\n{head}\n{_write_row('openvino: sparse decompression', _bind_sparse(path))}")


if __name__ == "__main__":
    main(sys.argv[1:])
