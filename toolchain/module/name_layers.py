"""Names of an exported graph's nodes: those of the modules they come from, as reports, keep_float and people call layers."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection

import onnx

# Where the exporter says which modules a node comes from, the outermost first and an operator last (torch.onnx, 2.14).
_SCOPES = "pkg.torch.onnx.name_scopes"


def name_layers(model: onnx.ModelProto, modules: Collection[str]) -> None:
    """Name the nodes of an exported graph after the modules of these dotted names; changes the model.

    A node alone of its module, or the first that reads weights of it, has the module's own name; the others are called
    MODULE/OPERATOR. A convolution that took in a batch norm is the convolution: it goes by whose weights it reads first. What
    comes from no module within keeps its name. Call it before the metadata is removed.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    owners = [_find_owner(node, weights, modules) for node in model.graph.node]
    paths = [owner or _read_scope(node, modules) for node, owner in zip(model.graph.node, owners, strict=True)]
    counts = Counter(paths)
    taken = {node.name for node, path in zip(model.graph.node, paths, strict=True) if not path}
    for node, path, owner in zip(model.graph.node, paths, owners, strict=True):
        if not path:
            continue
        is_layer = path not in taken and (counts[path] == 1 or owner is not None)
        node.name = _make_free(path if is_layer else f"{path}/{node.op_type}", taken)
        taken.add(node.name)


def _find_owner(node: onnx.NodeProto, weights: Collection[str], modules: Collection[str]) -> str | None:
    """Return the module whose weights a node reads, of those that the graph still has under their names."""
    for name in node.input:
        path = name.rpartition(".")[0] if name in weights else ""
        while path and path not in modules:
            path = path.rpartition(".")[0]
        if path:
            return path
    return None


def _read_scope(node: onnx.NodeProto, modules: Collection[str]) -> str | None:
    text = next((item.value for item in node.metadata_props if item.key == _SCOPES), "[]")
    try:
        scopes = ast.literal_eval(text)
    except (ValueError, SyntaxError):  # another version of the exporter may say it otherwise
        return None
    inner = [scope for scope in scopes if scope in modules] if isinstance(scopes, list) else []
    return inner[-1] if inner else None


def _make_free(stem: str, taken: Collection[str]) -> str:
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    return name
