"""Float16 on a CPU: the same graph in float32, with every result rounded to float16.

ONNX Runtime's CPU provider has no float16 kernels for most operators. It computes them in float32 and drops the
conversions between two of them, so that 1000 + 0.123 - 1000 is 0.123 there and 0 on a GPU: a float16 graph looks better
than it is. Here each node computes in float32 and its result is rounded, which is what a GPU does whose kernels sum in
float32. Kernels that TensorRT fuses round less often than this.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.shapes import infer_shapes
from toolchain.graph.view import read_names
from toolchain.lower.float32_inside import holds_halves, keep_interface, widen_tensor

# Operators whose results are values that they read, or that no kernel rounds: the dequantized input of an int8 kernel.
_EXACT = frozenset(
    {
        *("Relu", "MaxPool", "Abs", "Neg", "Clip", "Max", "Min", "Where", "Identity"),
        *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Tile", "Pad"),
        *("Concat", "Split", "Slice", "Gather", "GatherElements", "GatherND", "DepthToSpace", "SpaceToDepth"),
        "DequantizeLinear",
    }
)


def emulate_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that rounds as this one does and computes in float32; inputs and outputs keep their types.

    The model itself where it has no float16, or has some inside of subgraphs, which ours never have.
    """
    graph = infer_shapes(model)
    halves = {
        value.name
        for value in [*graph.value_info, *graph.input, *graph.output]
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16
    }
    if not halves or any(_has_float16_inside(node, halves) for node in model.graph.node):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for tensor in result.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            widen_tensor(tensor)
    for value in [*result.graph.input, *result.graph.output]:
        if value.name in halves:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    names = OnnxNames.from_model(model)
    nodes = [new for node in result.graph.node for new in _widen(node, halves, names)]
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    result.graph.ClearField("value_info")
    return keep_interface(result, model)


def _has_float16_inside(node: onnx.NodeProto, halves: set[str]) -> bool:
    graphs = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs) if graph.node]
    captured = set(read_names(node)) - set(node.input)
    return bool(graphs) and (bool(captured & halves) or any(map(holds_halves, graphs)))


def _widen(node: onnx.NodeProto, halves: set[str], names: OnnxNames) -> Iterator[onnx.NodeProto]:
    """Yield the node in float32, and what rounds its results."""
    rounded = [name for name in node.output if name in halves]
    if rounded and node.op_type == "Cast":
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    if node.op_type in _EXACT:
        yield node
        return
    for index, name in enumerate(node.output):
        if name in halves:
            node.output[index] = names.derive(name, "exact")
    yield node
    for name in rounded:
        exact, half = names.derive(name, "exact"), names.derive(name, "half")
        yield helper.make_node("Cast", [exact], [half], to=TensorProto.FLOAT16)
        yield helper.make_node("Cast", [half], [name], to=TensorProto.FLOAT)
