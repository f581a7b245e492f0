"""The opset that a model is stated in, and why: 21, or 18 where it pools averages.

Why 21: per-channel Q/DQ needs 13, LayerNormalization 17, axes of ReduceMean as an input 18, Gelu 20, Q/DQ of 4 and 16 bits
21. A newer opset brings nothing that the passes or the lowering use.

Why 18: ONNX Runtime 1.32 has AveragePool of opset 19, which brought dilations, as a plain loop, but for planes whose
channels fill its blocked layout: 1.6 (1-D) to 12.6 times slower than the kernel of opset 18 (docs/lowering.md). No other
operator's kernel was more than 6 % slower.
"""

from __future__ import annotations

import onnx

from toolchain.graph.view import ONNX_DOMAINS
from toolchain.graph.walk import iter_nodes, iter_tensors

OPSET = 21
POOLING_OPSET = 18

# Operators whose versions 19 to 21 only take more types than 18, or have an attribute that 18 lacks (ONNX changelog).
_ONLY_WIDENED = frozenset(
    """
    AveragePool Cast CastLike Constant ConstantOfShape Equal Flatten Identity If IsInf IsNaN Loop Pad ReduceMax
    ReduceMin Reshape Resize Scan Shape Size Squeeze Transpose Unsqueeze
    """.split()  # noqa: SIM905  # as a list, these names are 24 lines
)
_NEW_ATTRIBUTES = frozenset({"dilations", "saturate"})
_NEW_MODES = frozenset({b"wrap", b"half_pixel_symmetric"})

# Types beyond it came after opset 18: 8-bit floats, 4-bit integers.
_LAST_TYPE = onnx.TensorProto.BFLOAT16


def describe_opset(model: onnx.ModelProto) -> dict[str, int | str]:
    """Return the opset of an optimized model, and why it is that one."""
    version = read_opset(model)
    if not pools_averages(model):
        reason = "the newest that passes and lowerings use" if version == OPSET else "the model came in it"
    elif version == POOLING_OPSET:
        reason = "AveragePool has a slower kernel in ONNX Runtime from opset 19 on"
    else:
        needed = find_newer(model, version) if version <= OPSET else f"opset {version}"
        reason = f"the model needs it for {needed}; AveragePool has a slower kernel there than in opset 18"
    return {"version": version, "reason": reason}


def read_opset(model: onnx.ModelProto) -> int:
    """Return the version of the ONNX operators that the model uses."""
    return max((opset.version for opset in model.opset_import if opset.domain in ONNX_DOMAINS), default=1)


def pools_averages(model: onnx.ModelProto) -> bool:
    """Return whether the model has an AveragePool, in a subgraph or not."""
    return any(node.op_type == "AveragePool" and node.domain in ONNX_DOMAINS for node in iter_nodes(model))


def find_newer(model: onnx.ModelProto, version: int) -> str | None:
    """Return what opset 18 lacks, or has with another meaning, of a model of a newer opset; None where it has all."""
    for node in iter_nodes(model):
        if node.domain not in ONNX_DOMAINS:
            continue
        if node.op_type not in _ONLY_WIDENED and _read_since(node.op_type, POOLING_OPSET) != _read_since(
            node.op_type, version
        ):
            return str(node.op_type)
        if node.op_type in _ONLY_WIDENED and (attribute := _find_newer_attribute(node)) is not None:
            return f"{attribute} of {node.op_type}"
    new = next((tensor for tensor in iter_tensors(model) if tensor.data_type > _LAST_TYPE), None)
    return None if new is None else onnx.TensorProto.DataType.Name(new.data_type).lower()


def _find_newer_attribute(node: onnx.NodeProto) -> str | None:
    """Return the attribute of a widened operator that opset 18 lacks, or that its AveragePool computes otherwise."""
    for attribute in node.attribute:
        new_type = attribute.name == "to" and attribute.i > _LAST_TYPE
        # What lies beyond the padded input is averaged in another way since opset 19.
        rounds_up = attribute.name == "ceil_mode" and attribute.i != 0
        if attribute.name in _NEW_ATTRIBUTES or attribute.s in _NEW_MODES or new_type or rounds_up:
            return str(attribute.name)
    return None


def _read_since(op_type: str, opset: int) -> int | None:
    """Return the opset that an operator's definition in this one came with; None where there is no such operator."""
    try:
        return int(onnx.defs.get_schema(op_type, opset, "").since_version)
    except onnx.defs.SchemaError:
        return None
