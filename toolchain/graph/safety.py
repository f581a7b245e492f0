"""Checks of a parsed ONNX model that nobody vouches for, beyond what the onnx checker looks at."""

from __future__ import annotations

import math
from collections import Counter

import onnx
from onnx import defs

from toolchain.errors import first_line, malformed
from toolchain.graph.shapes import infer_shapes
from toolchain.graph.view import ONNX_DOMAINS
from toolchain.graph.walk import iter_nodes, iter_tensors

# Largest tensor inside a model: what one protobuf message can hold.
_TENSOR_MAX_BYTES = 2**31 - 1
# Largest number of nodes once every model-local function is inlined. The largest published models have some 10^5.
_NODES_MAX = 1_000_000
# Operators that ONNX Runtime has although the ONNX standard does not.
_RUNTIME_DOMAINS = {"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"}


def check_model(model: onnx.ModelProto, where: str) -> None:
    """Check a model whose data is all inside it.

    Raises ToolchainError (exit 23): an operator set that is unknown or too new, a tensor of no known type, functions
    that call themselves or multiply, what the onnx checker finds, a tensor of known shape that reaches 2 GiB.
    """
    _check_opsets(model, where)
    _check_functions(model, where)
    for tensor in iter_tensors(model):
        if tensor.data_type == onnx.TensorProto.UNDEFINED or tensor.data_type not in onnx.TensorProto.DataType.values():
            raise malformed(
                "a tensor has no known type",
                where=f"{where}: tensor {tensor.name!r}",
                found=str(tensor.data_type),
                fix=f"upgrade onnx (here {onnx.__version__}), or export the model again with an older type",
            )
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise malformed(
            "the ONNX checker refuses the model",
            where=where,
            found=first_line(error),
            fix="export it again, and check the file with onnx.checker.check_model",
        ) from error
    _check_sizes(model, where)


def _check_opsets(model: onnx.ModelProto, where: str) -> None:
    newest = defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ONNX_DOMAINS and not 1 <= opset.version <= newest:
            raise malformed(
                "the model's opset is unknown",
                where=where,
                expected=f"1 to {newest}",
                found=str(opset.version),
                fix=f"upgrade onnx (here {onnx.__version__}), or export the model with an older opset",
            )
    local = {(function.domain, function.name) for function in model.functions}
    known = {schema.domain for schema in defs.get_all_schemas()} | _RUNTIME_DOMAINS | {"ai.onnx"}
    for node in iter_nodes(model):
        if node.domain not in known and (node.domain, node.op_type) not in local:
            raise malformed(
                "the model uses an operator of an unknown domain",
                where=f"{where}: node {node.name!r}",
                expected="operators of ONNX, of ONNX Runtime or of the model itself",
                found=f"{node.domain}.{node.op_type}",
                fix="export the model without it, or give the model a function of ONNX operators under that name",
            )


def _check_functions(model: onnx.ModelProto, where: str) -> None:
    """Refuse functions that call themselves, or so many of each other that inlining would never end."""
    calls = {
        (function.domain, function.name): Counter((node.domain, node.op_type) for node in iter_nodes(function))
        for function in model.functions
    }
    sizes: dict[tuple[str, str], int] = {}
    open_calls: set[tuple[str, str]] = set()

    def count(key: tuple[str, str]) -> int:
        if key not in calls:
            return 1
        if key in open_calls:
            raise malformed(
                "a function of the model calls itself",
                where=where,
                found=".".join(key),
                fix="write that function without a call of itself, and export the model again",
            )
        if key not in sizes:
            open_calls.add(key)
            sizes[key] = sum(times * count(callee) for callee, times in calls[key].items())
            open_calls.remove(key)
        return sizes[key]

    total = sum(count((node.domain, node.op_type)) for node in iter_nodes(model.graph))
    if total > _NODES_MAX:
        raise malformed(
            "the model's functions multiply",
            where=where,
            expected=f"at most {_NODES_MAX} nodes",
            found=str(total),
            fix="export the model with fewer calls of functions in functions; do not use a file whose source you do not trust",
        )


def _check_sizes(model: onnx.ModelProto, where: str) -> None:
    """Refuse a model with a tensor whose shape is known and that no board could hold, such as an Expand to 10^12."""
    graph = infer_shapes(model)
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor_type = value.type.tensor_type
        # An axis of unknown length counts as 1: what is refused is too large for any batch.
        elements = math.prod(dim.dim_value for dim in tensor_type.shape.dim if dim.dim_value > 0)
        if elements > _TENSOR_MAX_BYTES:
            raise malformed(
                "a tensor of the model is too large",
                where=f"{where}: {value.name!r}",
                expected="less than 2 Gi elements",
                found=str(elements),
                fix="correct the shape that makes it, such as that of an Expand or a Tile, and export the model again",
            )
