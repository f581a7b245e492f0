"""The one maker of names for what is written into an ONNX graph: none that it hands out is in the model already.

A user's model may call anything anything: a parameter relu_scale beside a tensor relu is enough to make a file with two
tensors of one name, which runs with the wrong one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx


class OnnxNames:
    """Names that nothing else in a model has: no tensor, node, graph or function, inside of subgraphs included.

    The same questions in the same order give the same names.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        """`taken` are the names that are never handed out."""
        self._taken = set(taken)
        self._derived: dict[tuple[str, ...], str] = {}

    @classmethod
    def from_model(cls, model: onnx.ModelProto) -> OnnxNames:
        """Return the maker of names for a model; what is added to it under other names is not seen."""
        functions = [name for function in model.functions for name in _list_function_names(function)]
        return cls([*functions, *_list_graph_names(model.graph)])

    def make(self, stem: str) -> str:
        """Return the stem, or where that is taken the first of stem_2, stem_3, … that is free; never the same twice."""
        name, count = stem, 1
        while name in self._taken or not name:
            count += 1
            name = f"{stem}_{count}"
        self._taken.add(name)
        return name

    def derive(self, *parts: str) -> str:
        """Return the name that is made of these parts, joined by _: the same for the same parts, new for others.

        So the tensors a_b and a can both have a scale, although both would be called a_b_scale.
        """
        if parts not in self._derived:
            self._derived[parts] = self.make("_".join(parts))
        return self._derived[parts]


def _list_graph_names(graph: onnx.GraphProto) -> Iterator[str]:
    yield graph.name
    for field in (graph.input, graph.output, graph.value_info, graph.initializer):
        yield from (value.name for value in field)
    yield from (tensor.values.name for tensor in graph.sparse_initializer)
    yield from _list_node_names(graph.node)


def _list_function_names(function: onnx.FunctionProto) -> Iterator[str]:
    yield function.name
    yield from (*function.input, *function.output)
    yield from _list_node_names(function.node)


def _list_node_names(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    for node in nodes:
        yield from (node.name, *node.input, *node.output)
        for attribute in node.attribute:
            for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _list_graph_names(graph)
