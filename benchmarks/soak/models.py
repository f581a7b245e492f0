"""The models and data of the soak: small ones to be deployed often or on much data, and one of a gigabyte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_OPSET = helper.make_opsetid("", 21)
_IR_VERSION = 10
_CHANNELS = 16
_CLASSES = 8


def write_small(folder: Path, *, size: int, seed: int) -> Path:
    """Write a convolution and a classifier for pictures `(N, 3, size, size)`, small.onnx, and return its path."""
    rng = np.random.default_rng(seed)
    weights = {
        "w1": rng.normal(scale=0.2, size=(_CHANNELS, 3, 3, 3)).astype(np.float32),
        "w2": rng.normal(scale=0.3, size=(_CHANNELS, _CLASSES)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["hidden"], "conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["hidden"], ["active"], "relu"),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("MatMul", ["flat", "w2"], ["output"], "classify"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", _CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    path = folder / "small.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[_OPSET], ir_version=_IR_VERSION), path)
    return path


def write_large(folder: Path, *, layers: int, width: int) -> Path:
    """Write layers of width² float32 weights each, large.onnx with its data beside it, and return its path."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "large.onnx.data").open("wb") as file:
        for index in range(layers):
            # He's initialization: what leaves the last layer is as large as what entered the first.
            weight = rng.standard_normal((width, width), dtype=np.float32) * np.float32(np.sqrt(2 / width))
            place = {"location": "large.onnx.data", "offset": file.tell(), "length": weight.nbytes}
            file.write(weight.tobytes())
            tensor = TensorProto(name=f"w{index}", data_type=TensorProto.FLOAT, dims=weight.shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            weights.append(tensor)
            source = "input" if index == 0 else f"active{index - 1}"
            target = "output" if index == layers - 1 else f"hidden{index}"
            nodes.append(helper.make_node("MatMul", [source, f"w{index}"], [target], f"layer{index}"))
            if index < layers - 1:
                nodes.append(helper.make_node("Relu", [target], [f"active{index}"], f"relu{index}"))
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", width])],
        weights,
    )
    # An older opset: the converter, which copies most, has something to do.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "large.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def draw_samples(count: int, shape: tuple[int, ...], *, seed: int) -> NDArray[np.float32]:
    """Return noise `(count, *shape)`: nothing of it is learnt, so that drift judges and no metric."""
    samples: NDArray[np.float32] = np.random.default_rng(seed).standard_normal((count, *shape), dtype=np.float32)
    return samples
