"""What an ONNX graph is, without running it: inputs, outputs, operators, parameters, MACs, memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import onnx
from onnx import TensorProto, helper

from toolchain.agent.measure.onnxruntime_profile import RULES
from toolchain.graph.shapes import infer_shapes
from toolchain.graph.view import ONNX_DOMAINS, read_names
from toolchain.graph.walk import iter_nodes, iter_tensors

Shape = tuple[int | str | None, ...]
"""A length, the name of one, or None where nothing is said."""

# Of activations, the largest.
_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class TensorFacts:
    """An input or output."""

    name: str
    dtype: str
    shape: Shape | None
    """None where not even the number of axes is known."""


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """A node that multiplies. `macs` is None where the shapes do not tell."""

    name: str
    op: str
    macs: int | None


@dataclass(frozen=True, kw_only=True)
class ActivationFacts:
    """A tensor that a run makes."""

    name: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """A graph, for one sample: a first axis without a length has the length 1."""

    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    opset: Mapping[str, int]
    """By domain; ONNX's own operators are under ai.onnx."""
    ir_version: int
    producer: str
    nodes: int
    operators: Mapping[str, int]
    """Most frequent first; those of other domains with the domain before them."""
    parameters: int
    weights_bytes: int
    layers: tuple[LayerFacts, ...]
    """In the order of the graph; those in subgraphs have no MACs."""
    largest_activations: tuple[ActivationFacts, ...]
    live_bytes: int | None
    """The most that inputs and activations take at a time in the graph's order, where each goes after its last reader; None
    where a shape is not known."""

    @property
    def macs(self) -> int:
        """Of the layers whose MACs can be counted."""
        return sum(layer.macs or 0 for layer in self.layers)

    @property
    def uncounted(self) -> tuple[LayerFacts, ...]:
        """The layers whose work is not known."""
        return tuple(layer for layer in self.layers if layer.macs is None)


def describe_facts(facts: GraphFacts) -> dict[str, Any]:
    """Return the facts in JSON types."""
    return {**asdict(facts), "macs": facts.macs, "uncounted": [layer.name for layer in facts.uncounted]}


def read_facts(model: onnx.ModelProto) -> GraphFacts:
    """Return the facts of a model whose functions are inlined."""
    initialized = {tensor.name for tensor in model.graph.initializer}
    values = _infer_for_one_sample(model, initialized)
    shapes = {name: shape for name, (_, shape) in values.items() if shape is not None}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    sizes = {name: _measure(kind, shape) for name, (kind, shape) in values.items()}
    made = {name for node in model.graph.node for name in node.output if name and node.op_type != "Constant"}
    largest = sorted(
        (
            ActivationFacts(name=name, shape=shapes[name], size_bytes=size)
            for name, size in sizes.items()
            if name in made and size is not None and name in shapes
        ),
        key=lambda activation: -activation.size_bytes,
    )
    operators = Counter(
        node.op_type if node.domain in ONNX_DOMAINS else f"{node.domain}:{node.op_type}" for node in iter_nodes(model)
    )
    tensors = list(iter_tensors(model))
    return GraphFacts(
        inputs=tuple(_read_tensor(value) for value in model.graph.input if value.name not in initialized),
        outputs=tuple(_read_tensor(value) for value in model.graph.output),
        opset={opset.domain or "ai.onnx": opset.version for opset in model.opset_import},
        ir_version=model.ir_version,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        nodes=sum(operators.values()),
        operators=dict(operators.most_common()),
        parameters=sum(math.prod(tensor.dims) for tensor in tensors),
        weights_bytes=sum(_measure(tensor.data_type, tuple(tensor.dims)) or 0 for tensor in tensors),
        layers=tuple(_list_layers(model, shapes)),
        largest_activations=tuple(largest[:_LISTED]),
        live_bytes=_measure_live(model, sizes, initialized),
    )


def _infer_for_one_sample(
    model: onnx.ModelProto, initialized: set[str]
) -> dict[str, tuple[int, tuple[int, ...] | None]]:
    """Return type and shape of every tensor of the main graph for one sample; None for a shape that is not known."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    first = {
        value.type.tensor_type.shape.dim[0].dim_param
        for value in single.graph.input
        if value.name not in initialized and value.type.tensor_type.shape.dim
    } - {""}
    for value in (*single.graph.input, *single.graph.output, *single.graph.value_info):
        for index, axis in enumerate(value.type.tensor_type.shape.dim):
            if axis.dim_param in first or (index == 0 and not axis.dim_value and value.name not in initialized):
                axis.dim_value = 1
    # What exporters noted of the tensors in between may hold for another batch.
    single.graph.ClearField("value_info")
    graph = infer_shapes(single)
    found = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        tensor = value.type.tensor_type
        lengths = [axis.dim_value for axis in tensor.shape.dim] if tensor.HasField("shape") else None
        is_known = lengths is not None and all(
            axis.HasField("dim_value") and axis.dim_value >= 0 for axis in tensor.shape.dim
        )
        found[value.name] = (tensor.elem_type, tuple(lengths) if is_known and lengths is not None else None)
    return found


def _read_tensor(value: onnx.ValueInfoProto) -> TensorFacts:
    tensor = value.type.tensor_type
    axes = [axis.dim_value if axis.dim_value > 0 else axis.dim_param or None for axis in tensor.shape.dim]
    return TensorFacts(
        name=value.name,
        dtype=str(helper.tensor_dtype_to_np_dtype(tensor.elem_type)) if tensor.elem_type else "unknown",
        shape=tuple(axes) if tensor.HasField("shape") else None,
    )


def _list_layers(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> Iterator[LayerFacts]:
    for node in model.graph.node:
        if node.op_type in RULES:
            yield LayerFacts(name=node.name, op=node.op_type, macs=_count_macs(node, shapes))
        inner = [
            child for attribute in node.attribute for graph in _list_graphs(attribute) for child in iter_nodes(graph)
        ]
        yield from (
            LayerFacts(name=child.name, op=child.op_type, macs=None) for child in inner if child.op_type in RULES
        )


def _list_graphs(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _count_macs(node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]) -> int | None:
    count, weight = RULES[node.op_type]
    if not node.output or node.output[0] not in shapes or not all(name in shapes for name in node.input if name):
        return None
    read = [list(shapes[name]) for name in node.input if name]
    return count(read, list(shapes[node.output[0]]), weight)


def _measure(kind: int, shape: Sequence[int] | None) -> int | None:
    """Return the bytes of a tensor; None where its type or shape is not known."""
    if shape is None or kind in (TensorProto.UNDEFINED, TensorProto.STRING):
        return None
    halves = (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1)
    bits = 4 if kind in halves else 8 * helper.tensor_dtype_to_np_dtype(kind).itemsize
    return (math.prod(shape) * bits + 7) // 8


def _measure_live(model: onnx.ModelProto, sizes: Mapping[str, int | None], initialized: set[str]) -> int | None:
    last: dict[str, int] = {}
    for index, node in enumerate(model.graph.node):
        last |= dict.fromkeys(read_names(node), index)
    kept = {value.name for value in model.graph.output}
    live = {value.name: sizes.get(value.name) for value in model.graph.input if value.name not in initialized}
    peak = 0
    for index, node in enumerate(model.graph.node):
        if node.op_type != "Constant":
            live |= {name: sizes.get(name) for name in node.output if name}
        taken = list(live.values())
        if None in taken:
            return None
        peak = max(peak, sum(size for size in taken if size is not None))
        live = {name: size for name, size in live.items() if name in kept or last.get(name, -1) > index}
    return peak
