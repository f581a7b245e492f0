"""Reads the precision of every layer from the engine inspector's JSON.

What TensorRT 8.4 to 10.x print was read in public logs; the reader is not yet run on hardware. Where the text does not
tell a precision, it is "unknown", which counts for no gate.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from ..placement import Layer, Placement
from .macs import MultiplyLayer

UNKNOWN = "unknown"

# "Metadata" names the nodes of the ONNX file that a kernel does the work of.
_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
# The arithmetic in a kernel's name: sm80_xmma_fprop_implicit_gemm_i8f32_i8i32_f32_... multiplies int8 into int32. The last
# such pair is that of the multiplication; the one before it is of inputs and outputs.
_ARITHMETIC = re.compile(r"(?<![a-z0-9])(i8|bf16|f16|tf32|f32|e4m3)(?:i32|f16|f32)(?![a-z0-9])")
_ARITHMETIC_NAMES = {"i8": "int8", "f16": "fp16", "bf16": "bf16", "f32": "float32", "tf32": "tf32", "e4m3": "fp8"}
# "Thirty-two wide channel vectorized row major Int8 format", "Channel major FP16 format where channel % 8 == 0", "Half".
_TYPES = (
    (re.compile(r"\bint8\b", re.IGNORECASE), "int8"),
    (re.compile(r"\b(bf16|bfloat16)\b", re.IGNORECASE), "bf16"),
    (re.compile(r"\b(fp16|half)\b", re.IGNORECASE), "fp16"),
    (re.compile(r"\b(fp32|float)\b", re.IGNORECASE), "float32"),
)
# Kinds whose first input is what they multiply. In other fused kernels that says nothing.
_MULTIPLYING = re.compile(r"conv|gemm|matmul|matrixmultiply", re.IGNORECASE)


def read_placement(text: str, multiplying: Iterable[MultiplyLayer]) -> Placement:
    """Return what the multiplying layers of a network ran as, from the JSON of the engine that was built of it."""
    precisions = _read_precisions(text)
    return Placement(
        layers=tuple(
            Layer(name=item.name, op=item.op, precision=precisions.get(item.name, UNKNOWN), macs=item.macs)
            for item in multiplying
        )
    )


def list_kernels(text: str) -> Dict[str, Tuple[str, ...]]:
    """Return the nodes of the ONNX file that each kernel does the work of, by the name that a profile has for it."""
    nodes: Dict[str, Tuple[str, ...]] = {}
    for entry in _list_entries(text):
        # Of kernels of one name a profile has the sum.
        before = nodes.get(str(entry.get("Name", "")), ())
        nodes[str(entry.get("Name", ""))] = tuple(dict.fromkeys((*before, *_list_nodes(entry))))
    return nodes


def list_kinds(text: str) -> Dict[str, str]:
    """Return TensorRT's kind of each kernel, by the name that a profile has for it."""
    return {str(entry.get("Name", "")): str(entry.get("LayerType", "")) or UNKNOWN for entry in _list_entries(text)}


def _list_entries(text: str) -> List[Dict[str, Any]]:
    # Built without detailed verbosity, layers are names alone.
    return [entry for entry in json.loads(text).get("Layers", []) if isinstance(entry, dict)]


def _read_precisions(text: str) -> Dict[str, str]:
    precisions: Dict[str, str] = {}
    for entry in _list_entries(text):
        precision = _find_precision(entry)
        for name in _list_nodes(entry):
            # A node in several kernels (its weights are converted in one, say) has what one of them tells.
            if precisions.get(name, UNKNOWN) == UNKNOWN or _is_multiplying(entry):
                precisions[name] = precision
    return precisions


def _list_nodes(entry: Mapping[str, Any]) -> Tuple[str, ...]:
    nodes = tuple(_NODE.findall(str(entry.get("Metadata", ""))))
    if str(entry.get("LayerType", "")) == "Reformat":  # named after the kernel that it prepares data for
        return nodes
    return nodes or tuple(part.strip() for part in str(entry.get("Name", "")).split(" + "))


def _is_multiplying(entry: Mapping[str, Any]) -> bool:
    return _MULTIPLYING.search(str(entry.get("LayerType", ""))) is not None


def _find_precision(entry: Mapping[str, Any]) -> str:
    arithmetic = _ARITHMETIC.findall(str(entry.get("TacticName", "")))
    if arithmetic:
        return _ARITHMETIC_NAMES[arithmetic[-1]]
    if not _is_multiplying(entry):
        return UNKNOWN
    inputs = entry.get("Inputs") or [{}]
    activations = _match_type(inputs[0].get("Format/Datatype"))
    weights = entry.get("Weights")
    if activations == "int8" and isinstance(weights, dict) and _match_type(weights.get("Type")) not in ("int8", None):
        return UNKNOWN
    return activations or UNKNOWN


def _match_type(text: Optional[object]) -> Optional[str]:
    return next((name for pattern, name in _TYPES if pattern.search(str(text))), None)
