"""What packed weights cost when a session opens, and that they cost nothing afterwards.

    python -m benchmarks.packing

One JSON line for each kind of weights of the same net: two convolutions of 512 channels, 3x3, as they end ResNet-18, with
random weights (4.7 million). size: of the file, as a share of the same weights in float32. open_ms: the median time to
open a session, packed and not. run: how many times as fast the packed model runs, with its 99 % interval. All of one kind
is interleaved in one run, on one thread.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.latency import measure_latency
from toolchain.compress.quantization.codebook import choose_codebook
from toolchain.compress.quantization.linear_grid import choose_grid
from toolchain.lower.packing import pack_weights

_SHAPE = (512, 512, 3, 3)

# Openings take up to half a second.
_OPEN_SAMPLES = 11
_LIMIT_S = 8.0


def _snap(weight: Tensor, bits: int) -> Tensor:
    return choose_grid(weight, bits=bits, symmetric=True, per_channel=True, clipping="none").snap(weight)


def _drop(weight: Tensor) -> Tensor:
    return torch.where(torch.rand_like(weight) < 0.2, weight, 0.0)


_KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear 8 bits": lambda weight: _snap(weight, 8),
    "linear 4 bits": lambda weight: _snap(weight, 4),
    "linear 3 bits": lambda weight: _snap(weight, 3),
    "k-means 4 bits": lambda weight: choose_codebook(weight, bits=4).expand(),
    "80 % zeros": _drop,
    "80 % zeros, linear 4 bits": lambda weight: _snap(_drop(weight), 4),
}


def _build_model(kind: Callable[[Tensor], Tensor]) -> onnx.ModelProto:
    torch.manual_seed(0)
    weights = [numpy_helper.from_array(kind(torch.randn(_SHAPE) * 0.02).numpy(), name) for name in ("w1", "w2")]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["h"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["h", "w2"], ["y"], pads=[1, 1, 1, 1]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 512, 4, 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "tail", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _open(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def measure_kind(name: str, folder: Path) -> dict[str, object]:
    """Return the row of one kind of weights."""
    plain = _build_model(_KINDS[name])
    packed, records = pack_weights(plain)
    paths = {"plain": folder / "plain.onnx", "packed": folder / "packed.onnx"}
    for path, model in zip(paths.values(), (plain, packed), strict=True):
        path.write_bytes(model.SerializeToString())
    openings = {key: (lambda path=path: _open(path)) for key, path in paths.items()}
    opened = measure_latency(openings, samples=_OPEN_SAMPLES, limit_s=_LIMIT_S)
    feed = {"x": np.random.default_rng(0).standard_normal((1, 512, 4, 4)).astype(np.float32)}
    sessions = {key: _open(path) for key, path in paths.items()}
    runs = {key: (lambda session=session: session.run(None, feed)) for key, session in sessions.items()}
    ratio = measure_latency(runs, limit_s=_LIMIT_S).compare("plain", "packed")
    return {
        "weights": name,
        "form": records[0].form,
        "zeros_left_out": records[0].zeros_left_out,
        "size": round(packed.ByteSize() / plain.ByteSize(), 4),
        "open_ms": {key: round(float(np.median(opened.list_samples_ms(key))), 1) for key in paths},
        "run": [round(value, 3) for value in (ratio.ratio, ratio.low, ratio.high) if value is not None],
        "cpu": read_facts("onnxruntime").cpu,
    }


def main() -> None:
    """Print one row per kind of weights."""
    with tempfile.TemporaryDirectory() as folder:
        for name in _KINDS:
            sys.stdout.write(json.dumps(measure_kind(name, Path(folder))) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
