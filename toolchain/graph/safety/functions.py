"""A model's own functions: how they call each other, and how large they are once inlined."""

from __future__ import annotations

from collections import Counter

import onnx

from toolchain.errors import malformed
from toolchain.graph.safety.counts import NODES_MAX
from toolchain.graph.walk import iter_nodes

# Functions in functions. Exporters write one for each module: as deep as modules nest, which is some ten.
_CALLS_MAX = 64

_Key = tuple[str, str, str]


def check_functions(model: onnx.ModelProto, where: str) -> None:
    """Refuse (exit 23) functions of one name, ones that call themselves, and calls that multiply or nest too deep."""
    keys = [(function.domain, function.name, function.overload) for function in model.functions]
    if twice := [key for key, times in Counter(keys).items() if times > 1]:
        raise malformed(
            "the model has two functions of one name",
            where=where,
            found=_write(twice[0]),
            fix="export the model with a name for each function",
        )
    _Calls(model, where).check(model.graph)


class _Calls:
    """The calls of each function, and the size of those that were followed."""

    def __init__(self, model: onnx.ModelProto, where: str) -> None:
        self._where = where
        self._calls = {
            (function.domain, function.name, function.overload): _count_calls(function) for function in model.functions
        }
        self._sizes: dict[_Key, int] = {}
        self._heights: dict[_Key, int] = {}
        self._open: dict[_Key, None] = {}

    def check(self, graph: onnx.GraphProto) -> None:
        """Follow every call, those of functions that nobody calls too: tools inline them all the same."""
        for key in self._calls:
            self._measure(key)
        total = sum(times * self._measure(key) for key, times in _count_calls(graph).items())
        if total > NODES_MAX:
            raise malformed(
                "the model's functions multiply",
                where=self._where,
                expected=f"at most {NODES_MAX} nodes",
                found=str(total),
                fix="export the model with fewer calls of functions in functions; do not use a file whose source you do not "
                "trust",
            )

    def _measure(self, key: _Key) -> int:
        """Return the number of nodes that a call becomes."""
        if key not in self._calls:
            return 1
        if key in self._open:
            raise malformed(
                "a function of the model calls itself",
                where=self._where,
                found=_write(key),
                fix="write that function without a call of itself, and export the model again",
            )
        if key not in self._sizes:
            self._limit_depth(key, len(self._open) + 1)
            self._open[key] = None
            self._sizes[key] = sum(times * self._measure(callee) for callee, times in self._calls[key].items())
            self._heights[key] = 1 + max((self._heights.get(callee, 0) for callee in self._calls[key]), default=0)
            del self._open[key]
        self._limit_depth(key, len(self._open) + self._heights[key])
        return self._sizes[key]

    def _limit_depth(self, key: _Key, depth: int) -> None:
        if depth > _CALLS_MAX:
            raise malformed(
                "the model's functions call each other too deeply",
                where=self._where,
                expected=f"at most {_CALLS_MAX} functions within each other",
                found=f"more, at {_write(key)}",
                fix="export the model without functions",
            )


def _count_calls(graph: onnx.GraphProto | onnx.FunctionProto) -> Counter[_Key]:
    return Counter((node.domain, node.op_type, node.overload) for node in iter_nodes(graph))


def _write(key: _Key) -> str:
    return ".".join(part for part in key if part)
