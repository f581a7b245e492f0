"""Stores equal weights once.

w1 = T, w2 = T, read by different nodes   becomes   w1 = T, read by all of them. Inlined functions and folded constants
leave such copies. Small constants stay as they are: they cost nothing, and their names say what they are for.
"""

from __future__ import annotations

import hashlib

import onnx
from onnx import numpy_helper

from toolchain.graph.view import rename_reads
from toolchain.optimize.applied import Applied
from toolchain.optimize.replace_nodes import replace_nodes

_BYTES_MIN = 1024


def apply(model: onnx.ModelProto) -> Applied:
    """Return the model with each weight once; the same where no two are equal."""
    kept: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    renamed: dict[str, str] = {}
    # A value that a caller may override, or reads, keeps its name.
    fixed = {value.name for value in (*model.graph.input, *model.graph.output)}
    for tensor in model.graph.initializer:
        if tensor.name in fixed or tensor.ByteSize() < _BYTES_MIN:
            continue
        content = hashlib.sha256(numpy_helper.to_array(tensor).tobytes()).digest()
        first = kept.setdefault((tensor.data_type, tuple(tensor.dims), content), tensor.name)
        if first != tensor.name:
            renamed[tensor.name] = first
    if not renamed:
        return Applied(model=model, report=f"no two weights of {_BYTES_MIN} bytes or more are equal")
    nodes = []
    for node in model.graph.node:
        reader = onnx.NodeProto()
        reader.CopyFrom(node)
        rename_reads(reader, renamed)
        nodes.append(reader)
    shared = replace_nodes(model, nodes)
    return Applied(model=shared, report=f"left out {len(renamed)} weights that are equal to another")
