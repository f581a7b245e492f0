"""Where a traced model is quantized: what the int8 policy of ONNX Runtime does to the exported graph, in PyTorch's terms.

Inputs and outputs of convolutions and linear layers, the output behind a Relu or Clip that the kernel absorbs, and what
lies between them where it has an int8 kernel. docs/compression/qat.md has the table of both sides.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

# By module, function and method: the three ways to call an operator that torch.fx tells apart.
_Kinds = tuple[tuple[type[nn.Module], ...], frozenset[Callable[..., Any]], frozenset[str]]

# Do nothing in evaluation, and are gone from the exported graph.
_SILENT: _Kinds = (
    (nn.Identity, nn.Dropout, nn.Dropout2d),
    frozenset({F.dropout}),
    frozenset({"contiguous"}),
)

# Disappear into the saturation of the node before them.
_ABSORBED: _Kinds = (
    (nn.ReLU, nn.ReLU6, nn.Hardtanh),
    frozenset({torch.relu, F.relu, F.relu6, F.hardtanh, torch.clamp}),
    frozenset({"relu", "relu_", "clamp", "clamp_"}),
)

# Only move or select values: the output keeps the range of the input.
_MOVES: _Kinds = (
    (nn.MaxPool2d, nn.Flatten),
    frozenset({F.max_pool2d, torch.flatten, torch.reshape, torch.permute, torch.transpose}),
    frozenset({"flatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze"}),
)

# Have an int8 kernel, and gain from it between int8 neighbours only.
_BETWEEN: _Kinds = (
    (nn.AvgPool2d, nn.Sigmoid, nn.LeakyReLU, nn.SiLU),
    frozenset(
        {
            operator.add,
            operator.iadd,
            torch.add,
            operator.mul,
            operator.imul,
            torch.mul,
            torch.cat,
            torch.concat,
            F.avg_pool2d,
            torch.sigmoid,
            F.sigmoid,
            F.leaky_relu,
            F.silu,
        }
    ),
    frozenset({"add", "add_", "mul", "mul_", "sigmoid"}),
)

_ADAPTIVE: _Kinds = ((nn.AdaptiveAvgPool2d,), frozenset({F.adaptive_avg_pool2d}), frozenset())
_MEAN: _Kinds = ((), frozenset({torch.mean}), frozenset({"mean"}))


@dataclass(frozen=True)
class _Planned:
    """One node that computes in int8."""

    activations: tuple[fx.Node, ...]
    output: fx.Node | None
    """What leaves it as int8, behind an absorbed activation; None leaves it in float."""
    moves: bool = False
    weighted: bool = False


def find_quantized(
    graph: fx.GraphModule, layers: Collection[str], shapes: Mapping[fx.Node, Sequence[int]]
) -> tuple[list[fx.Node], set[str]]:
    """Return the nodes whose tensors are quantized, in the graph's order, and the layers of `layers` that are called.

    shapes: of every tensor, by its node.
    """
    plan: dict[fx.Node, _Planned] = {}
    returned: set[fx.Node] = set()
    for node in graph.graph.nodes:
        planned = _plan(graph, node, layers, shapes, returned)
        if planned is not None:
            plan[node] = planned
            if planned.output is not None:
                returned.add(planned.output)
    _drop_dead_ends(graph, plan)
    _leave_in_float(graph, plan)
    shared = {planned.output for planned in plan.values() if planned.moves}
    wanted = {node for planned in plan.values() for node in (*planned.activations, planned.output)} - shared
    called = {str(node.target) for node, planned in plan.items() if planned.weighted}
    return [node for node in graph.graph.nodes if node in wanted], called


def _plan(
    graph: fx.GraphModule,
    node: fx.Node,
    layers: Collection[str],
    shapes: Mapping[fx.Node, Sequence[int]],
    returned: set[fx.Node],
) -> _Planned | None:
    if node.op == "call_module" and node.target in layers:
        source = _skip_silent(graph, node.args[0])
        if source is None:
            return None
        # A linear layer on more than two axes is exported as MatMul and Add, and only the MatMul is int8.
        layer = graph.get_submodule(str(node.target))
        whole = not isinstance(layer, nn.Linear) or layer.bias is None or len(shapes.get(source, ())) == 2
        return _Planned((source,), _absorb(graph, node) if whole else None, weighted=True)
    pooled = _is_global_average(graph, node, shapes)
    if _is(graph, node, _MOVES) or (pooled and _is_pixel(node.args[0], shapes)):
        source = _skip_silent(graph, node.args[0])
        return _Planned((source,), node, moves=True) if source in returned and source is not None else None
    if not (_is(graph, node, _BETWEEN) or pooled):
        return None
    sources = [_skip_silent(graph, argument) for argument in _list_operands(node)]
    if not sources or not all(source in returned for source in sources):
        return None
    return _Planned(tuple(source for source in sources if source is not None), _absorb(graph, node))


def _is(graph: fx.GraphModule, node: fx.Node, kinds: _Kinds) -> bool:
    modules, functions, methods = kinds
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), modules)
    if node.op == "call_function":
        return node.target in functions
    return node.op == "call_method" and node.target in methods


def _is_global_average(graph: fx.GraphModule, node: fx.Node, shapes: Mapping[fx.Node, Sequence[int]]) -> bool:
    """Return whether a node is the mean over both axes of pictures."""
    if _is(graph, node, _ADAPTIVE):
        size: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("output_size")
        if node.op == "call_module":
            size = graph.get_submodule(str(node.target)).output_size
        return size in (1, (1, 1), [1, 1])
    if not _is(graph, node, _MEAN):
        return False
    source = node.args[0]
    axes = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    rank = len(shapes.get(source, ())) if isinstance(source, fx.Node) else None
    return rank == 4 and isinstance(axes, Sequence) and sorted(int(str(axis)) % rank for axis in axes) == [2, 3]


def _is_pixel(source: Any, shapes: Mapping[fx.Node, Sequence[int]]) -> bool:
    """Return whether pictures are of one pixel: their mean is themselves, and the ONNX passes take it out."""
    return isinstance(source, fx.Node) and tuple(shapes.get(source, ()))[2:] == (1, 1)


def _list_operands(node: fx.Node) -> list[Any]:
    """Return what an elementwise operator, a pooling or a concatenation works on; numbers stay, they are no tensors."""
    if node.target in (torch.cat, torch.concat):
        operands = node.args[0] if node.args else node.kwargs.get("tensors")
        return list(operands) if isinstance(operands, list | tuple) else []
    pair = node.target in _BETWEEN[1] | _BETWEEN[2] and len(node.args) == 2
    binary = pair and node.target not in (F.avg_pool2d, F.leaky_relu)
    return list(node.args[:2] if binary else node.args[:1])


def _skip_silent(graph: fx.GraphModule, value: Any) -> fx.Node | None:
    while isinstance(value, fx.Node) and _is(graph, value, _SILENT):
        value = value.args[0]
    return value if isinstance(value, fx.Node) else None


def _list_readers(graph: fx.GraphModule, node: fx.Node) -> list[fx.Node]:
    readers: list[fx.Node] = []
    for user in node.users:
        readers += _list_readers(graph, user) if _is(graph, user, _SILENT) else [user]
    return readers


def _absorb(graph: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Return the Relu or Clip that is the node's only reader, or the node itself."""
    readers = _list_readers(graph, node)
    return readers[0] if len(readers) == 1 and _is(graph, readers[0], _ABSORBED) else node


def _drop_dead_ends(graph: fx.GraphModule, plan: dict[fx.Node, _Planned]) -> None:
    """Take out nodes without weights that no int8 node reads."""
    while dead := [
        node
        for node, planned in plan.items()
        if not planned.weighted and not any(reader in plan for reader in _list_readers(graph, planned.output or node))
    ]:
        for node in dead:
            del plan[node]


def _leave_in_float(graph: fx.GraphModule, plan: dict[fx.Node, _Planned]) -> None:
    """Let a linear layer return float where not all readers are int8."""
    for node, planned in plan.items():
        if not planned.weighted or planned.output is None:
            continue
        if not isinstance(graph.get_submodule(str(node.target)), nn.Linear):
            continue
        readers = _list_readers(graph, planned.output)
        if not readers or not all(reader in plan for reader in readers):
            plan[node] = _Planned(planned.activations, None, weighted=True)
