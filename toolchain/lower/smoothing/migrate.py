"""Divides the channels of a tensor in front of its products, and multiplies the products' weights, in the float graph.

What makes the tensor takes the division where all who read it are products:

    LayerNormalization(x, gamma / s, beta / s)      Mul(x, gamma / s)      Add(Mul(x, gamma / s), beta / s)

Elsewhere, as behind a LayerNormalization whose output is a residual too, a Mul by 1 / s stands in front of the products.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.set_aside import copy_without_weights
from toolchain.graph.view import GraphView, attribute_int, read_names
from toolchain.lower.dynamic.plan import find_dynamic
from toolchain.lower.qdq_plan import QuantizedNode

Groups = Mapping[str, tuple[QuantizedNode, ...]]


def find_groups(model: onnx.ModelProto) -> dict[str, tuple[QuantizedNode, ...]]:
    """Return the normalized or scaled tensors that products read, each with the products.

    Not behind a GELU or attention: large numbers there are those of single tokens, not of channels. Divided, they are the
    largest no more, and are rounded, where they were exact: MiniLM's first feed-forward layer then costs 6 dB of the model,
    although the products by themselves gain 2.7. A weight that two products share would have to fit both of their tensors:
    its products are left out.
    """
    view = GraphView.from_model(model)
    groups: dict[str, list[QuantizedNode]] = {}
    for product in find_dynamic(model).values():
        if product.weight is not None and len(view.consumers[product.weight.source]) == 1:
            groups.setdefault(product.activations[0], []).append(product)
    return {
        tensor: tuple(products)
        for tensor, products in groups.items()
        if _find_scaling(view, tensor, read_weight(view, products[0]).shape[0])
    }


def read_weight(view: GraphView, product: QuantizedNode) -> NDArray[np.float32]:
    """Return the weight of a product as (inputs, outputs)."""
    value = None if product.weight is None else view.constant(product.weight.source)
    if product.weight is None or value is None:
        raise KeyError(product.name)
    return np.asarray(value if product.weight.axis == 1 else value.T, np.float32)


def migrate(
    model: onnx.ModelProto, groups: Groups, factors: Mapping[str, NDArray[np.float32]]
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Return a copy of the model with the channels of these tensors divided by factors (channels,), and where by a Mul.

    The second is the tensors that could not be divided where they are made.
    """
    result, names = copy_without_weights(model), OnnxNames.from_model(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    view = replace(GraphView.from_model(result), initializers=dict(weights))
    multiplied: dict[str, onnx.NodeProto] = {}
    for tensor, values in factors.items():
        for product in groups[tensor]:
            if product.weight is not None:
                factor = values[:, None] if product.weight.axis == 1 else values
                scaled = numpy_helper.to_array(weights[product.weight.source]) * factor
                _store(weights, product.weight.source, scaled)
        readers = {product.name for product in groups[tensor]}
        places = _find_places(view, tensor, readers, len(values))
        for node, index in places:
            divided = names.derive(node.input[index], "smoothed", tensor)
            _store(weights, divided, numpy_helper.to_array(weights[node.input[index]]) / values)
            node.input[index] = divided
        if not places:
            multiplied[tensor] = _multiply(view, names, weights, tensor, readers, values)
    nodes = [multiplied[value.name] for value in result.graph.input if value.name in multiplied]
    for node in result.graph.node:
        nodes += [node, *(multiplied[name] for name in node.output if name in multiplied)]
    result.graph.ClearField("node")
    result.graph.node.extend(nodes)
    read = {name for node in nodes for name in read_names(node)}
    read |= {value.name for value in [*result.graph.output, *result.graph.input]}
    result.graph.initializer.extend(tensor for name, tensor in weights.items() if name in read)
    return result, tuple(multiplied)


def _multiply(
    view: GraphView,
    names: OnnxNames,
    weights: dict[str, onnx.TensorProto],
    tensor: str,
    readers: Collection[str],
    values: NDArray[np.float32],
) -> onnx.NodeProto:
    """Let the products read what a Mul, which is returned, makes of a tensor."""
    smoothed, divisor = names.derive(tensor, "smoothed"), names.derive(tensor, "smoothing")
    _store(weights, divisor, 1 / values)
    for node in view.consumers[tensor]:
        if node.name in readers:
            node.input[0] = smoothed
    return helper.make_node("Mul", [tensor, divisor], [smoothed], names.derive(tensor, "smooth"))


def _find_places(view: GraphView, tensor: str, readers: Collection[str], size: int) -> list[tuple[onnx.NodeProto, int]]:
    """Return the constants that scale a tensor by channel, where nobody but these readers sees it; [] for none."""
    seen = {reader.name for reader in view.consumers.get(tensor, ())}
    if tensor in view.output_names or not seen <= set(readers):
        return []
    places = _find_scaling(view, tensor, size)
    inner = [node for node, _ in places if tensor not in node.output]
    return places if all(view.only_consumer(node.output[0]) is not None for node in inner) else []


def _find_scaling(view: GraphView, tensor: str, size: int) -> list[tuple[onnx.NodeProto, int]]:
    """Return the constants that scale and shift a tensor by channel, each as a node and its input; [] for none."""
    node = view.producers.get(tensor)
    if node is not None and node.op_type == "LayerNormalization":
        used = [index for index in (1, 2) if index < len(node.input) and node.input[index]]
        is_last = attribute_int(node, "axis", -1) == -1 and not any(node.output[1:])
        fits = is_last and all(_is_channels(view, node.input[index], size) for index in used)
        return [(node, index) for index in used] if fits else []
    if node is None or node.op_type not in {"Add", "Mul"}:
        return []
    index = next((index for index, name in enumerate(node.input) if _is_channels(view, name, size)), None)
    if index is None or node.op_type == "Mul":
        return [] if index is None else [(node, index)]
    scaled = _find_scaling(view, node.input[1 - index], size)
    return [*scaled, (node, index)] if scaled else []


def _is_channels(view: GraphView, name: str, size: int) -> bool:
    """Return whether a tensor is a constant of float32 with one number for each channel of the last axis."""
    tensor = view.initializers.get(name)
    is_given = any(value.name == name for value in view.model.graph.input)
    return (
        tensor is not None
        and not is_given
        and tensor.data_type == onnx.TensorProto.FLOAT
        and list(tensor.dims) == [size]
    )


def _store(weights: dict[str, onnx.TensorProto], name: str, value: NDArray[Any]) -> None:
    weights[name] = numpy_helper.from_array(np.asarray(value, np.float32), name)
