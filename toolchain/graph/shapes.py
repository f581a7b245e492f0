"""What shape inference finds out of a model, without a copy of its large weights."""

from __future__ import annotations

import onnx

from toolchain.run.confine import inside

# Initializers above this size never hold a shape: their values are dropped before shape inference, which copies them.
_SHAPE_VALUE_MAX_BYTES = 4096


def infer_shapes(model: onnx.ModelProto) -> onnx.GraphProto:
    """Return the graph with the types and shapes of its tensors, as far as they follow, and without its large weights."""
    source = model.graph
    skeleton = onnx.ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        functions=model.functions,
        graph=onnx.GraphProto(
            name=source.name,
            node=source.node,
            input=source.input,
            output=source.output,
            value_info=source.value_info,
            sparse_initializer=source.sparse_initializer,
            initializer=[
                tensor
                if len(tensor.raw_data) <= _SHAPE_VALUE_MAX_BYTES
                else onnx.TensorProto(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
                for tensor in source.initializer
            ],
        ),
    )
    with inside.step("shape inference"):
        return onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph


def infer_ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Return the number of axes of every tensor of the main graph of which that is known."""
    graph = infer_shapes(model)
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
