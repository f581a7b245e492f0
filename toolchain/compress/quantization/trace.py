"""The graph of a module: which module reads what another one returns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import fx, nn

from toolchain.compress.layers import Weighted
from toolchain.errors import usage


class _Tracer(fx.Tracer):
    """Follows a model into its modules, except those that it is told to take as they are."""

    def __init__(self, whole: Collection[nn.Module]) -> None:
        super().__init__()
        self._whole = whole
        self.inside: list[nn.Module] = []
        """The modules whose forward is being followed, the outermost first; after a failure, where it was."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether the module is one step of the graph."""
        return m in self._whole or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Return what the module returns, and remember that it is being followed."""
        self.inside.append(m)
        value = super().call_module(m, forward, args, kwargs)
        self.inside.pop()
        return value


def trace(model: nn.Module, *, method: str) -> fx.GraphModule:
    """Return the model as a graph of its modules and functions; it shares the model's parameters.

    A module without layers to work on that cannot be followed, such as one that computes a spectrum, is one step of it.

    Raises ToolchainError (exit 2) where the model's forward depends on values, so that it has no one graph.
    """
    whole: set[nn.Module] = set()
    while True:
        tracer = _Tracer(whole)
        try:
            return fx.GraphModule(model, tracer.trace(model), type(model).__name__)
        except (torch.fx.proxy.TraceError, TypeError, RuntimeError, AttributeError, NotImplementedError) as error:
            place = tracer.inside[-1] if tracer.inside else model
            if place is not model and place not in whole and not any(isinstance(m, Weighted) for m in place.modules()):
                whole.add(place)
                continue
            raise usage(
                f"{method} cannot follow the model's forward",
                where=type(place).__name__,
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
