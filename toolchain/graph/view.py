"""A read-only view of an ONNX graph: who makes a tensor, who reads it, and what is constant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

# Under which ONNX's own operators stand.
ONNX_DOMAINS = frozenset({"", "ai.onnx"})

# The attributes of Constant that hold numbers, with the type that the specification gives them (Constant-13).
_NUMBER_TYPES = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


@dataclass(frozen=True)
class GraphView:
    """Lookups over a model's main graph; a node with a subgraph also reads what the subgraph captures."""

    model: onnx.ModelProto
    producers: Mapping[str, onnx.NodeProto]
    consumers: Mapping[str, tuple[onnx.NodeProto, ...]]
    initializers: Mapping[str, onnx.TensorProto]
    output_names: frozenset[str]

    @classmethod
    def from_model(cls, model: onnx.ModelProto) -> GraphView:
        """Return the view of the model's main graph."""
        consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in dict.fromkeys(read_names(node)):
                consumers[name].append(node)
        return cls(
            model=model,
            producers={name: node for node in model.graph.node for name in node.output if name},
            consumers={name: tuple(nodes) for name, nodes in consumers.items()},
            initializers={tensor.name: tensor for tensor in model.graph.initializer},
            output_names=frozenset(value.name for value in model.graph.output),
        )

    def constant(self, name: str) -> NDArray[np.generic] | None:
        """Return the value of an initializer or a Constant node; None where it is no constant, or one of strings."""
        if name in self.initializers:
            return _to_array(self.initializers[name])
        node = self.producers.get(name)
        tensor = None if node is None else read_constant_node(node)
        return None if tensor is None else _to_array(tensor)

    def is_constant(self, name: str) -> bool:
        """Return whether a tensor has its value before the graph runs."""
        node = self.producers.get(name)
        return name in self.initializers or (node is not None and is_constant_node(node))

    def only_consumer(self, name: str) -> onnx.NodeProto | None:
        """Return the single node that reads a tensor; None where there is another, none, or it is an output."""
        nodes = self.consumers.get(name, ())
        return nodes[0] if len(nodes) == 1 and name not in self.output_names else None


def is_constant_node(node: onnx.NodeProto) -> bool:
    """Return whether a node is ONNX's Constant."""
    return node.op_type == "Constant" and node.domain in ONNX_DOMAINS


def read_constant_node(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """Return a Constant node's tensor, named as its output; None for other nodes, strings and sparse tensors."""
    if not is_constant_node(node) or len(node.attribute) != 1:
        return None
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(attribute.t)
        tensor.name = node.output[0]
        return tensor
    if attribute.name in _NUMBER_TYPES:
        value = helper.get_attribute_value(attribute)
        return numpy_helper.from_array(np.array(value, dtype=_NUMBER_TYPES[attribute.name]), node.output[0])
    return None


def _to_array(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    return np.asarray(numpy_helper.to_array(tensor))


def read_names(node: onnx.NodeProto) -> list[str]:
    """Return the tensors that a node reads, those that its subgraphs capture included."""
    names = [name for name in node.input if name]
    for graph in _subgraphs(node):
        inner = {name for child in graph.node for name in child.output}
        inner |= {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        reads = [name for child in graph.node for name in read_names(child)]
        reads += [value.name for value in graph.output]
        names += [name for name in reads if name not in inner]
    return names


def rename_reads(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Let a node, and its subgraphs, read other tensors: old name to new name. Changes the node."""
    for index, name in enumerate(node.input):
        node.input[index] = names.get(name, name)
    for graph in _subgraphs(node):
        inner = {name for child in graph.node for name in child.output}
        inner |= {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        outer = {old: new for old, new in names.items() if old not in inner}
        for child in graph.node:
            rename_reads(child, outer)
        for value in graph.output:
            value.name = outer.get(value.name, value.name)


def attribute_int(node: onnx.NodeProto, name: str, default: int) -> int:
    """Return an integer attribute of a node, or the default that the operator's specification states."""
    return next((int(attribute.i) for attribute in node.attribute if attribute.name == name), default)


def attribute_float(node: onnx.NodeProto, name: str, default: float) -> float:
    """Return a number of a node's attributes, or the default that the operator's specification states."""
    return next((float(attribute.f) for attribute in node.attribute if attribute.name == name), default)


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    graphs: list[onnx.GraphProto] = []
    for attribute in node.attribute:
        if attribute.HasField("g"):
            graphs.append(attribute.g)
        graphs.extend(attribute.graphs)
    return graphs
