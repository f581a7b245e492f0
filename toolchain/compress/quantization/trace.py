"""The graph of a module: which module reads what another one returns."""

from __future__ import annotations

import torch
from torch import fx, nn

from toolchain.errors import usage


def trace(model: nn.Module, *, method: str) -> fx.GraphModule:
    """Return the model as a graph of its modules and functions; it shares the model's parameters.

    Raises ToolchainError (exit 2) where the model's forward depends on values, so that it has no one graph.
    """
    try:
        return fx.symbolic_trace(model)
    except (torch.fx.proxy.TraceError, TypeError, RuntimeError, AttributeError, NotImplementedError) as error:
        raise usage(
            f"{method} cannot follow the model's forward",
            where=type(model).__name__,
            expected="a forward that torch.fx can trace: no branch on a tensor's values",
            found=str(error).splitlines()[0],
            fix="take the branch out of forward, or leave this method out of the recipe",
        ) from error


def find_pairs(
    graph: fx.GraphModule,
    first: type[nn.Module] | tuple[type[nn.Module], ...],
    second: type[nn.Module] | tuple[type[nn.Module], ...],
) -> list[tuple[str, str]]:
    """Return the names of modules of which the second is the only reader of the first, each called once."""
    calls: dict[str, int] = {}
    for node in graph.graph.nodes:
        if node.op == "call_module":
            calls[node.target] = calls.get(node.target, 0) + 1
    pairs: list[tuple[str, str]] = []
    for node in graph.graph.nodes:
        if node.op != "call_module" or not isinstance(graph.get_submodule(node.target), second):
            continue
        source = node.args[0]
        if (
            isinstance(source, fx.Node)
            and source.op == "call_module"
            and isinstance(graph.get_submodule(str(source.target)), first)
            and len(source.users) == 1
            and calls[str(source.target)] == calls[node.target] == 1
        ):
            pairs.append((str(source.target), str(node.target)))
    return pairs
