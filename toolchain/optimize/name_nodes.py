"""Gives every node, those in subgraphs included, a name that no other has: reports and keep_float go by it.

A name that is unique stays. A node without one is called OPERATOR_OUTPUT, after its first output, which is unique in
its graph and does not move when another node comes or goes; a name that was there before gets _2, _3, …
"""

from __future__ import annotations

import onnx

from toolchain.onnx_safety import iter_nodes


def apply(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with unique names; the same where it has them."""
    names = [node.name for node in iter_nodes(model)]
    if all(names) and len(set(names)) == len(names):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    taken = set(names)
    seen: set[str] = set()
    for node in iter_nodes(result):
        if not node.name or node.name in seen:
            stem = node.name or f"{node.op_type}_{next(filter(None, node.output), 'none')}"
            node.name = _find_free(stem, taken)
            taken.add(node.name)
        seen.add(node.name)
    return result


def _find_free(stem: str, taken: set[str]) -> str:
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}_{count}"
    return name
