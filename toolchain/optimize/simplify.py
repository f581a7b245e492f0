"""Folds constants, fuses BatchNormalization and padding into Conv, removes what does nothing: by onnxsim.

For example, with g = scale / sqrt(var + epsilon), (C_out,), which multiplies W (C_out, C_in, kH, kW) on its first axis:

    BatchNormalization(Conv(x, W, b), scale, shift, mean, var)   becomes   Conv(x, g·W, g·(b - mean) + shift)

The batch and other symbolic axes stay symbolic.

Of two simplifiers, onnxslim adds nodes to convnext_tiny (222 become 257) and needs 24 s for vit_b_16; onnxsim 5 s.
"""

from __future__ import annotations

from typing import Any

import onnx
import onnxsim
from google.protobuf.message import Message

from toolchain.onnx_safety import iter_nodes

# Makes MatMul + Add of rank 3 a Gemm between Reshape, Shape, Slice and Concat: ONNX Runtime then misses BiasGelu and
# SkipLayerNormalization (MiniLM-L3: 117 nodes become 159).
_BATCHED_GEMM = "fuse_matmul_add_bias_into_gemm_batched"

# Replaces an If of constant condition by its branch. Where that branch holds another such If, onnxsim 0.8.1 puts the
# inner branch before the nodes that it reads from, and fails (voice activity model silero_vad, opset 15).
_CONSTANT_IF = "eliminate_if_with_const_cond"


def apply(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the simplified model; the same where onnxsim finds nothing to do."""
    skipped = [_BATCHED_GEMM, _CONSTANT_IF] if _nests_ifs(model) else [_BATCHED_GEMM]
    simplified, _ = onnxsim.simplify(model, skipped_optimizers=skipped, certify=False)
    result: onnx.ModelProto = simplified
    if _describe(result) == _describe(model):
        return model
    # onnxsim notes its options in the model.
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    return result


def _nests_ifs(model: onnx.ModelProto) -> bool:
    branches = (
        attribute.g
        for node in iter_nodes(model)
        if node.op_type == "If"
        for attribute in node.attribute
        if attribute.HasField("g")
    )
    return any(inner.op_type == "If" for branch in branches for inner in iter_nodes(branch))


def _describe(model: onnx.ModelProto) -> tuple[Any, ...]:
    """Return what a model computes, without what onnxsim always touches: inferred shapes, empty fields, the order."""
    nodes = [
        (node.op_type, node.domain, list(node.input), list(node.output), sorted(map(_serialize, node.attribute)))
        for node in model.graph.node
    ]
    return nodes, {tensor.name: _serialize(tensor) for tensor in model.graph.initializer}


def _serialize(message: Message) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data
