"""Writes products as ONNX Runtime's MatMulNBits: float in and out, the weight in integers with a scale for each block.

    MatMul(x, W) or Gemm(x, W, b)   becomes   MatMulNBits(x, Wq, ws, , , b)

W is (K, N); Wq: uint8, (N, blocks, 32), the integers plus 128; ws: float32, (N * blocks,). A block is 32 neighbours along
K, the last one filled up with zeros. With accuracy_level 4 the kernel makes integers of each row of x too, block by
block, where the CPU has one for that; x's large channels and large rows spoil nobody else's steps then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.set_aside import copy_without_weights
from toolchain.graph.view import GraphView, read_names
from toolchain.lower.dynamic.plan import find_dynamic
from toolchain.lower.dynamic.recurrent import DOMAIN, state_domain
from toolchain.lower.qdq_plan import WeightInput

BLOCK = 32
_BITS = 8
_MIDDLE = 2 ** (_BITS - 1)

# What saves less is not worth a try.
SAVED_MIN_BYTES = 2**16


def find_blocks(model: onnx.ModelProto, layers: Collection[str]) -> dict[str, WeightInput]:
    """Return the weight of each of these layers that is a product in float with a finite weight of its own, large enough."""
    view = GraphView.from_model(model)
    weights = {name: node.weight for name, node in find_dynamic(model).items() if name in layers and node.weight}
    return {
        name: weight
        for name, weight in weights.items()
        if view.only_consumer(weight.source) is not None
        and count_saved(view.initializers[weight.source].dims, weight) >= SAVED_MIN_BYTES
        and np.isfinite(numpy_helper.to_array(view.initializers[weight.source])).all()
    }


def count_saved(shape: tuple[int, ...], weight: WeightInput) -> int:
    """Return by how many bytes a weight of this shape is smaller in blocks."""
    inputs, outputs = shape[1 - weight.axis], shape[weight.axis]
    blocks = -(-inputs // BLOCK)
    return int(outputs * (4 * inputs - blocks * (BLOCK + 4)))


def quantize_blocks(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a weight (K, N) as (N, blocks, 32) and the scales of its blocks, (N * blocks,); one of zeros has a scale of 1."""
    inputs, outputs = weight.shape
    filled = np.pad(weight.T, ((0, 0), (0, -inputs % BLOCK)))
    blocks = filled.reshape(outputs, -1, BLOCK)
    scales = np.abs(blocks).max(axis=2).astype(np.float32) / np.float32(_MIDDLE - 1)
    scales = np.where(scales < np.finfo(np.float32).tiny, np.float32(1), scales)
    values = np.rint(blocks / scales[:, :, None]) + _MIDDLE
    return values.astype(np.uint8), scales.reshape(-1)


def write_blocks(model: onnx.ModelProto, weights: Mapping[str, WeightInput]) -> onnx.ModelProto:
    """Return a copy of the model with these layers in blocks, each under its name."""
    view, names = GraphView.from_model(model), OnnxNames.from_model(model)
    result = copy_without_weights(model)
    made: list[onnx.TensorProto] = []
    for node in result.graph.node:
        if node.name not in weights:
            continue
        weight = weights[node.name]
        value = numpy_helper.to_array(view.initializers[weight.source])
        values, scales = quantize_blocks(value if weight.axis == 1 else value.T)
        parts = [names.derive(node.name, part) for part in ("blocks", "block_scales")]
        made += [numpy_helper.from_array(values, parts[0]), numpy_helper.from_array(scales, parts[1])]
        bias = [] if weight.bias_index is None else ["", "", node.input[weight.bias_index]]
        options = {"K": value.shape[1 - weight.axis], "N": value.shape[weight.axis]}
        options |= {"bits": _BITS, "block_size": BLOCK, "accuracy_level": 4}
        inputs = [node.input[0], *parts, *bias]
        node.CopyFrom(helper.make_node("MatMulNBits", inputs, list(node.output), node.name, domain=DOMAIN, **options))
    read = {name for node in result.graph.node for name in read_names(node)} | view.output_names
    result.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    result.graph.initializer.extend(made)
    state_domain(result)
    return result
