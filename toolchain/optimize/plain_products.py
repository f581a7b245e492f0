"""States matrix products in the form that int8 kernels take: A B + c, with one matrix B and one bias (N,) c.

    Gemm(A, B, C; alpha, beta)     becomes   Gemm(A, alpha B, beta C)
    Gemm(A, B, C; transA)          becomes   Gemm(Transpose(A), B, C)
    Gemm(A, B, C of (1, N))        becomes   Gemm(A, B, C of (N,))
    Gemm(A, B, C of (M, N))        becomes   Gemm(A, B) + C
    MatMul(A, B of (1, …, K, N))   becomes   MatMul(A, B of (K, N)), where A has as many axes

It does not act where B or C is no initializer or another node reads it too, which would then be stored twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.shapes import infer_ranks
from toolchain.graph.view import GraphView, attribute_float, attribute_int
from toolchain.optimize.applied import Applied
from toolchain.optimize.replace_nodes import replace_nodes


@dataclass(frozen=True)
class _Rewritten:
    """The nodes in a product's place, and the initializers that changed."""

    nodes: tuple[onnx.NodeProto, ...]
    values: dict[str, NDArray[Any]]


def apply(model: onnx.ModelProto) -> Applied:
    """Return the model with its products in that form; the same where they are."""
    if not any(node.op_type in {"Gemm", "MatMul"} for node in model.graph.node):
        return Applied(model=model, report="no Gemm and no MatMul")
    view, ranks = GraphView.from_model(model), infer_ranks(model)
    names = OnnxNames.from_model(model)
    nodes: list[onnx.NodeProto] = []
    values: dict[str, NDArray[Any]] = {}
    count = 0
    for node in model.graph.node:
        rewritten = _rewrite_gemm(view, node, names) if node.op_type == "Gemm" else _rewrite_matmul(view, node, ranks)
        if rewritten is None:
            nodes.append(node)
            continue
        count += 1
        nodes += rewritten.nodes
        values |= rewritten.values
    if not count:
        return Applied(model=model, report="no other form of a product whose matrix and bias it alone reads")
    kept = onnx.ModelProto()
    kept.CopyFrom(model)
    for tensor in kept.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values[tensor.name], tensor.name))
    return Applied(model=replace_nodes(kept, nodes), report=f"restated {count} products")


def _rewrite_gemm(view: GraphView, node: onnx.NodeProto, names: OnnxNames) -> _Rewritten | None:
    weight = _read_own(view, node.input[1])
    has_bias = len(node.input) > 2 and bool(node.input[2])
    bias = _read_own(view, node.input[2]) if has_bias else None
    if weight is None or (has_bias and bias is None) or view.is_constant(node.input[0]):
        return None
    alpha, beta = attribute_float(node, "alpha", 1.0), attribute_float(node, "beta", 1.0)
    flips = attribute_int(node, "transA", 0) == 1
    if alpha == beta == 1.0 and not flips and (bias is None or bias.ndim == 1):
        return None
    plain = onnx.NodeProto()
    plain.CopyFrom(node)
    del plain.attribute[:]
    plain.attribute.extend(attribute for attribute in node.attribute if attribute.name == "transB")
    before: list[onnx.NodeProto] = []
    after: list[onnx.NodeProto] = []
    values: dict[str, NDArray[Any]] = {}
    if flips:
        plain.input[0] = names.make(f"{node.input[0]}_transposed")
        name = names.make(f"{node.name}_transpose")
        before.append(helper.make_node("Transpose", [node.input[0]], [plain.input[0]], name, perm=[1, 0]))
    if alpha != 1.0:
        values[node.input[1]] = (weight.astype(np.float64) * alpha).astype(weight.dtype)
    if bias is not None:
        scaled = (bias.astype(np.float64) * beta).astype(bias.dtype)
        count = weight.shape[0 if attribute_int(node, "transB", 0) else 1]
        if bias.ndim < 2 or bias.shape[0] == 1:
            values[node.input[2]] = np.broadcast_to(scaled.reshape(-1), (count,)).copy()
        else:
            values[node.input[2]] = scaled
            del plain.input[2:]
            plain.output[0] = names.make(f"{node.output[0]}_product")
            name = names.make(f"{node.name}_bias")
            after.append(helper.make_node("Add", [plain.output[0], node.input[2]], [node.output[0]], name))
    return _Rewritten((*before, plain, *after), values)


def _rewrite_matmul(view: GraphView, node: onnx.NodeProto, ranks: dict[str, int]) -> _Rewritten | None:
    if node.op_type != "MatMul":
        return None
    weight = _read_own(view, node.input[1])
    if weight is None or weight.ndim < 3 or set(weight.shape[:-2]) != {1} or view.is_constant(node.input[0]):
        return None
    if ranks.get(node.input[0], 0) < weight.ndim:
        return None  # the product would lose an axis
    return _Rewritten((node,), {node.input[1]: weight.reshape(weight.shape[-2:])})


def _read_own(view: GraphView, name: str) -> NDArray[Any] | None:
    """Return the value of a float initializer that one node alone reads, once; None otherwise."""
    readers = view.consumers.get(name, ())
    fixed = view.output_names | {value.name for value in view.model.graph.input}
    if name not in view.initializers or name in fixed or len(readers) != 1 or list(readers[0].input).count(name) != 1:
        return None
    value = view.constant(name)
    return value if value is not None and value.dtype.kind == "f" else None
