"""The float16 writer: a float32 ONNX in, the same graph in float16 with explicit casts out.

Inputs and outputs keep their types.

Strong typing (TensorRT's, and ONNX's own) means that a node computes in the type of its tensors. So a node is either in
float16 or in float32 as a whole, and a Cast stands where one reads the other:

    x (float32) -> Cast -> Conv -> Relu -> Cast -> Exp (kept in float32) -> Cast -> Mul -> Cast -> y (float32)

Which nodes must stay in float32 is decided elsewhere (lower/fp16_layers.py); this file adds those that have no choice:
operators whose definition knows no float16, nodes with subgraphs, sources of constants, and arithmetic on shapes, where
float16 counts exactly to 2048 only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, defs, helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.opset import read_opset
from toolchain.graph.shapes import infer_shapes
from toolchain.graph.view import ONNX_DOMAINS, GraphView, read_names, rename_reads

_INTEGERS = frozenset({TensorProto.INT32, TensorProto.INT64, TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL})


def convert_to_float16(model: onnx.ModelProto, keep_float32: frozenset[str] = frozenset()) -> onnx.ModelProto:
    """Return a copy of the model in float16 but for the nodes with these names; the model is not changed."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    emission = _Emission(result, find_float16_nodes(model, keep_float32))
    nodes = list(emission.nodes())
    used = {name for node in nodes for name in read_names(node)} | {value.name for value in result.graph.output}
    initializers = [t for t in [*result.graph.initializer, *emission.initializers] if t.name in used]
    for field, values in (("node", nodes), ("initializer", initializers)):
        result.graph.ClearField(field)
        getattr(result.graph, field).extend(values)
    # Recorded types are those of float32; whoever needs them infers them anew.
    result.graph.ClearField("value_info")
    return result


# The first in which Q/DQ take and make float16 (ONNX changelog); before, a Cast stands between them and float16.
_FLOAT16_PAIRS_OPSET = 19


def find_float16_nodes(model: onnx.ModelProto, keep_float32: frozenset[str] = frozenset()) -> frozenset[str]:
    """Return the names of the nodes that compute in float16 where these nodes stay in float32."""
    view = GraphView.from_model(model)
    floats = find_float_tensors(model)
    opset = read_opset(model)
    capable = {
        node.name
        for node in model.graph.node
        if node.name not in keep_float32 and _is_capable(node, floats, opset) and not _is_dequantize(node)
    }
    capable -= _find_shape_arithmetic(view, floats)
    for node in reversed(model.graph.node):
        if (
            _is_dequantize(node)
            and opset >= _FLOAT16_PAIRS_OPSET
            and any(reader.name in capable for reader in view.consumers.get(node.output[0], ()))
        ):
            capable.add(node.name)
        elif node.op_type == "QuantizeLinear":
            producer = view.producers.get(node.input[0])
            if producer is None or producer.name not in capable:  # it quantizes float32 without a detour
                capable.discard(node.name)
    return frozenset(capable)


def find_float_tensors(model: onnx.ModelProto) -> frozenset[str]:
    """Return the names of the float32 tensors of the main graph, constants included."""
    graph = infer_shapes(model)
    return frozenset(
        value.name
        for value in [*graph.value_info, *graph.input, *graph.output]
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    ) | {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}


def _is_dequantize(node: onnx.NodeProto) -> bool:
    return bool(node.op_type == "DequantizeLinear")


def _is_capable(node: onnx.NodeProto, floats: frozenset[str], opset: int) -> bool:
    """Return whether a node has float32 tensors, and all that it makes may be float16 by its definition."""
    if not any(name in floats for name in node.output) and node.op_type != "QuantizeLinear":
        return False
    has_subgraph = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
    if has_subgraph or node.domain not in ONNX_DOMAINS:
        return False
    if node.op_type != "Cast" and not any(name in floats for name in node.input):
        return False  # it makes floats from nothing or from integers, by an attribute that states the type
    made = [index for index, name in enumerate(node.output) if name in floats]
    _, outputs = _find_switchable(node, opset)
    return set(made) <= outputs


def _find_switchable(node: onnx.NodeProto, opset: int) -> tuple[set[int], set[int]]:
    """Return which inputs and which outputs may be float16, by the operator's definition in this opset."""
    schema = defs.get_schema(node.op_type, opset, "")
    types = {constraint.type_param_str: set(constraint.allowed_type_strs) for constraint in schema.type_constraints}

    def allow(formals: list[defs.OpSchema.FormalParameter], count: int) -> set[int]:
        # The last formal parameter of a variadic operator stands for all that follow.
        named = [formals[min(index, len(formals) - 1)].type_str for index in range(count)]
        return {index for index, name in enumerate(named) if "tensor(float16)" in types.get(name, ())}

    return allow(list(schema.inputs), len(node.input)), allow(list(schema.outputs), len(node.output))


def _find_shape_arithmetic(view: GraphView, floats: frozenset[str]) -> set[str]:
    """Return the nodes whose floats all end in a Cast to integers: counts and indices, not activations."""
    found: set[str] = set()
    for node in reversed(view.model.graph.node):
        made = [name for name in node.output if name in floats]
        readers = [reader for name in made for reader in view.consumers.get(name, ())]
        if made and readers and not set(made) & view.output_names and all(_counts(reader, found) for reader in readers):
            found.add(node.name)
    return found


def _counts(node: onnx.NodeProto, found: set[str]) -> bool:
    to = next((attribute.i for attribute in node.attribute if attribute.name == "to"), None)
    return node.name in found or (node.op_type == "Cast" and to in _INTEGERS)


class _Emission:
    """The nodes of the new graph, in an order that can run: each Cast stands before the first that reads it."""

    def __init__(self, model: onnx.ModelProto, float16: frozenset[str]) -> None:
        self.initializers: list[onnx.TensorProto] = []
        self._view = GraphView.from_model(model)
        self._names = OnnxNames.from_model(model)
        self._floats = find_float_tensors(model)
        self._float16 = float16
        self._opset = read_opset(model)
        self._made = {name for node in model.graph.node if node.name in float16 for name in node.output}
        self._copies: dict[tuple[str, bool], str] = {}

    def nodes(self) -> Iterator[onnx.NodeProto]:
        for node in list(self._view.model.graph.node):
            in_float16 = node.name in self._float16
            switchable, _ = _find_switchable(node, self._opset) if in_float16 else (set(), set())
            wanted = {
                name: in_float16 and all(index in switchable for index, other in enumerate(node.input) if other == name)
                for name in dict.fromkeys(read_names(node))
                if name in self._floats
            }
            for name, as_float16 in wanted.items():
                if as_float16 != self._is_float16(name) and (name, as_float16) not in self._copies:
                    yield from self._copy(name, as_float16=as_float16)
            renamed = {name: self._copies.get((name, as_float16), name) for name, as_float16 in wanted.items()}
            rename_reads(node, renamed)
            if in_float16 and node.op_type == "Cast":
                del node.attribute[:]
                node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT16))
            returned = [name for name in node.output if in_float16 and name in self._view.output_names & self._floats]
            for index, name in enumerate(node.output):
                if name in returned:
                    node.output[index] = self._names.derive(name, "float16")
            yield node
            for name in returned:
                cast = self._names.derive(name, "cast")
                yield helper.make_node(
                    "Cast", [self._names.derive(name, "float16")], [name], cast, to=TensorProto.FLOAT
                )

    def _is_float16(self, name: str) -> bool:
        """Return whether a tensor is float16 under its own name; an output of the model never is."""
        return name in self._made and name not in self._view.output_names

    def _copy(self, name: str, *, as_float16: bool) -> Iterator[onnx.NodeProto]:
        """Make a copy of a tensor in the other type: a new constant, a Cast, or the one that an output came from."""
        copy = self._names.derive(name, "float16" if as_float16 else "float32")
        self._copies[name, as_float16] = copy
        constant = self._view.initializers.get(name)
        if constant is not None:
            with np.errstate(over="ignore"):
                values = numpy_helper.to_array(constant).astype(np.float16)
            self.initializers.append(numpy_helper.from_array(values, copy))
        elif name not in self._made or name not in self._view.output_names:
            to = TensorProto.FLOAT16 if as_float16 else TensorProto.FLOAT
            yield helper.make_node("Cast", [name], [copy], self._names.derive(copy, "cast"), to=to)
