"""Float16 on a CPU: the same graph in float32, with every result rounded to float16.

ONNX Runtime's CPU provider has no float16 kernels for most operators. It computes them in float32 and drops the
conversions between two of them, so that 1000 + 0.123 - 1000 is 0.123 there and 0 on a GPU: a float16 graph looks better
than it is. Here each node computes in float32 and its result is rounded, which is what a GPU does whose kernels sum in
float32. Kernels that TensorRT fuses round less often than this.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from toolchain.onnx_safety import infer_shapes

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
    """Return a float32 model that rounds as this one does.

    The model itself where it has no float16, or takes or returns it: ours do not.
    """
    graph = infer_shapes(model)
    halves = {v.name for v in graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    interface = [*graph.input, *graph.output]
    if not halves or any(value.type.tensor_type.elem_type == TensorProto.FLOAT16 for value in interface):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for tensor in result.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    nodes = [new for node in result.graph.node for new in _widen(node, halves)]
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    result.graph.ClearField("value_info")
    return result


def _widen(node: onnx.NodeProto, halves: set[str]) -> Iterator[onnx.NodeProto]:
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
            node.output[index] = f"{name}_exact"
    yield node
    for name in rounded:
        yield helper.make_node("Cast", [f"{name}_exact"], [f"{name}_half"], to=TensorProto.FLOAT16)
        yield helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)
