"""Folds constants, fuses BatchNormalization and padding into Conv, removes what does nothing: by onnxsim.

For example, with g = scale / sqrt(var + epsilon), (C_out,), which multiplies W (C_out, C_in, kH, kW) on its first axis:

    BatchNormalization(Conv(x, W, b), scale, shift, mean, var)   becomes   Conv(x, g·W, g·(b - mean) + shift)

The batch and other symbolic axes stay symbolic.

What is folded out of a weight that others read too is one more weight: the transposition of an embedding that also
projects the output, or a Conv whose weight several BatchNormalizations follow. And a folded Expand is as large as what it
fills. Where the model would grow, shared weights are left as they are, and what is large is not folded.

Of two simplifiers, onnxslim adds nodes to convnext_tiny (222 become 257) and needs 24 s for vit_b_16; onnxsim 5 s.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from typing import Any

import onnx
from google.protobuf.message import Message

from toolchain.graph.set_aside import list_large_weights, put_weights_back, set_weights_aside
from toolchain.graph.view import read_names
from toolchain.graph.walk import iter_nodes, iter_tensors
from toolchain.optimize.applied import Applied

# Makes MatMul + Add of rank 3 a Gemm between Reshape, Shape, Slice and Concat: ONNX Runtime then misses BiasGelu and
# SkipLayerNormalization (MiniLM-L3: 117 nodes become 159).
_BATCHED_GEMM = "fuse_matmul_add_bias_into_gemm_batched"

# Replaces an If of constant condition by its branch. Where that branch holds another such If, onnxsim 0.8.1 puts the
# inner branch before the nodes that it reads from, and fails (voice activity model silero_vad, opset 15).
_CONSTANT_IF = "eliminate_if_with_const_cond"


# Half of what a file may have. Others are given as they are: their weights are fused with what stands beside them.
_VERY_LARGE_BYTES = 2**28
_LEAVES_WEIGHTS = frozenset({"MatMul", "Gemm", "Gather"})

# A model may grow by small constants.
_GROWTH_MAX_BYTES = 1024

# Of a tensor that is folded where the model would grow otherwise: shapes, indices, masks of a few hundred places.
_FOLDED_MAX = "1KB"


def _import_onnxsim() -> Any:
    """Return onnxsim, imported without PyTorch, which it asks for at its start for a bridge that never works (0.8.1).

    With PyTorch the import takes 1.35 s and 598 MB, without 0.34 s and 117 MB. Where it is loaded already, it stays.
    """
    hides = "torch" not in sys.modules
    if hides:
        sys.modules["torch"] = None  # type: ignore[assignment] # what Python takes for a module that is not there
    try:
        import onnxsim
    finally:
        if hides:
            del sys.modules["torch"]
    return onnxsim


onnxsim = _import_onnxsim()


def apply(model: onnx.ModelProto) -> Applied:
    """Return the simplified model; the same where onnxsim finds nothing to do, or only what makes it larger."""
    for simplify in (_simplify, _simplify_sparing):
        result = simplify(model)
        if _describe_nodes(result) == _describe_nodes(model) and _hash_weights(result) == _hash_weights(model):
            return Applied(model=model, report="onnxsim finds nothing to do")
        if _measure_weights(result) <= _measure_weights(model) + _GROWTH_MAX_BYTES:
            sizes = f"{len(model.graph.node)} nodes became {len(result.graph.node)}"
            return Applied(model=result, report=f"folded and fused: {sizes}")
    return Applied(model=model, report="what onnxsim finds to do would only make the model larger")


def _simplify(model: onnx.ModelProto, **options: Any) -> onnx.ModelProto:
    skipped = [_BATCHED_GEMM, _CONSTANT_IF] if _nests_ifs(model) else [_BATCHED_GEMM]
    aside = _list_untouched(model)
    given = set_weights_aside(model, aside) if aside else model
    simplified, _ = onnxsim.simplify(given, skipped_optimizers=skipped, certify=False, **options)
    result: onnx.ModelProto = simplified
    if aside:
        read = {name for node in result.graph.node for name in read_names(node)}
        result = put_weights_back(result, model, aside & read)
    # onnxsim notes its options in the model.
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    return result


def _list_untouched(model: onnx.ModelProto) -> set[str]:
    """Return the weights of a very large model that onnxsim, which holds a model six times, would not touch.

    Those of multiplications whose other side is no constant, and of tables that are looked up.
    """
    if model.ByteSize() < _VERY_LARGE_BYTES:
        return set()
    taken = {value.name for value in (*model.graph.input, *model.graph.output)}
    untouched = set(list_large_weights(model)) - taken
    constant = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        others = [name for name in node.input if name not in constant]
        if node.op_type not in _LEAVES_WEIGHTS or not others:
            untouched -= set(read_names(node))
    return untouched


def _simplify_sparing(model: onnx.ModelProto) -> onnx.ModelProto:
    """Simplify with shared weights as inputs, which cannot be folded, and without folding large tensors."""
    readers = Counter(name for node in model.graph.node for name in set(read_names(node)))
    taken = {value.name for value in (*model.graph.input, *model.graph.output)}
    shared = [tensor for tensor in model.graph.initializer if readers[tensor.name] > 1 and tensor.name not in taken]
    names = {tensor.name for tensor in shared}
    result = _simplify(set_weights_aside(model, names), tensor_size_threshold=_FOLDED_MAX)
    return put_weights_back(result, model, names)


def _measure_weights(model: onnx.ModelProto) -> int:
    """Return the bytes of a model's tensors, equal ones once."""
    contents = {
        (tensor.data_type, tuple(tensor.dims), hashlib.sha256(data).digest()): len(data)
        for tensor in iter_tensors(model)
        for data in [tensor.raw_data or _serialize(tensor)]
    }
    return sum(contents.values())


def _nests_ifs(model: onnx.ModelProto) -> bool:
    branches = (
        attribute.g
        for node in iter_nodes(model)
        if node.op_type == "If"
        for attribute in node.attribute
        if attribute.HasField("g")
    )
    return any(inner.op_type == "If" for branch in branches for inner in iter_nodes(branch))


def _describe_nodes(model: onnx.ModelProto) -> list[tuple[Any, ...]]:
    """Return what a model computes, without what onnxsim always touches: inferred shapes, empty fields, the order."""
    return [
        (node.op_type, node.domain, list(node.input), list(node.output), sorted(map(_serialize, node.attribute)))
        for node in model.graph.node
    ]


def _hash_weights(model: onnx.ModelProto) -> dict[str, bytes]:
    return {tensor.name: hashlib.sha256(_serialize(tensor)).digest() for tensor in model.graph.initializer}


def _serialize(message: Message) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data
