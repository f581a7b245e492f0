"""Writes products with a scale of each run in the one form that ONNX Runtime makes a single kernel of.

    x -> DynamicQuantizeLinear -> xq, xs, xz        once for all products that read x
    MatMulInteger(xq, W, xz) -> Cast -> Mul(Mul(xs, ws)) [-> Add(bias)]

Read off the optimized graphs of ONNX Runtime 1.32: where one product reads x, this is one DynamicQuantizeMatMul, and where
several do, a MatMulIntegerToFloat each; N-D inputs, a scale for each column and a bias behind included. Multiplied by
one scale after the other, or with scales that several products share, nothing is fused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.set_aside import copy_without_weights
from toolchain.graph.view import GraphView, read_names
from toolchain.lower.affine import quantize_weight
from toolchain.lower.dynamic.recurrent import state_domain, write_recurrent
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, Scheme, WeightInput
from toolchain.lower.safe_scales import SAFE_BITS, find_plan_scales


def write_dynamic(model: onnx.ModelProto, plan: QdqPlan, scheme: Scheme) -> onnx.ModelProto:
    """Return a copy of the model with the plan's products and cells in integers, each under its name; the model itself for none.

    The last node of a product has its name and returns its tensor.
    """
    if not plan.nodes:
        return model
    emission = _Emission(model, plan, scheme)
    nodes = list(emission.nodes())
    result = copy_without_weights(model)
    read = {name for node in nodes for name in read_names(node)} | {value.name for value in model.graph.output}
    weights = [tensor for tensor in [*model.graph.initializer, *emission.initializers] if tensor.name in read]
    for field, values in (("node", nodes), ("initializer", weights)):
        result.graph.ClearField(field)
        getattr(result.graph, field).extend(values)
    state_domain(result)
    return result


class _Emission:
    """The nodes of the new graph, in an order that can run."""

    def __init__(self, model: onnx.ModelProto, plan: QdqPlan, scheme: Scheme) -> None:
        self.initializers: list[onnx.TensorProto] = []
        self._view = GraphView.from_model(model)
        self._names = OnnxNames.from_model(model)
        self._planned: Mapping[str, QuantizedNode] = {node.name: node for node in plan.nodes}
        self._scheme = scheme
        self._quantized: set[str] = set()
        saturates = scheme.saturates and scheme.weight_bits > SAFE_BITS
        products = QdqPlan(tuple(node for node in plan.nodes if node.op_type != "LSTM"))
        self._least_scales = find_plan_scales(products, self._view) if saturates else {}

    def nodes(self) -> Iterator[onnx.NodeProto]:
        for node in self._view.model.graph.node:
            planned = self._planned.get(node.name)
            if planned is None or planned.weight is None:
                yield node
            elif planned.op_type == "LSTM":
                recurrent, constants = write_recurrent(self._view, node, self._names, self._scheme)
                self.initializers.extend(constants)
                yield recurrent
            else:
                yield from self._quantize(node.input[0])
                yield from self._multiply(node, planned.weight)

    def _quantize(self, name: str) -> Iterator[onnx.NodeProto]:
        parts = [self._names.derive(name, part) for part in ("run_quantized", "run_scale", "run_zero_point")]
        if name not in self._quantized:
            self._quantized.add(name)
            yield helper.make_node("DynamicQuantizeLinear", [name], parts, self._names.derive(name, "run_quantize"))

    def _multiply(self, node: onnx.NodeProto, weight: WeightInput) -> Iterator[onnx.NodeProto]:
        name, source = node.name, node.input[0]
        bias = node.input[weight.bias_index] if weight.bias_index is not None else None
        quantized, scale, zero_point = (
            self._names.derive(source, part) for part in ("run_quantized", "run_scale", "run_zero_point")
        )
        values, scales = self._store_weight(weight)
        sums, sums_float, product_scale, product = (
            self._names.derive(name, part) for part in ("sums", "sums_float", "product_scale", "product")
        )
        yield helper.make_node("MatMulInteger", [quantized, values, zero_point], [sums], sums)
        yield helper.make_node("Cast", [sums], [sums_float], sums_float, to=TensorProto.FLOAT)
        yield helper.make_node("Mul", [scale, scales], [product_scale], product_scale)
        if bias is None:
            yield helper.make_node("Mul", [sums_float, product_scale], [node.output[0]], name)
            return
        yield helper.make_node("Mul", [sums_float, product_scale], [product], product)
        yield helper.make_node("Add", [product, bias], [node.output[0]], name)

    def _store_weight(self, weight: WeightInput) -> tuple[str, str]:
        """Return the names of a weight's integers, (inputs, outputs), and of their scales, (outputs,)."""
        names = self._names.derive(weight.source, "run_weight"), self._names.derive(weight.source, "run_weight_scale")
        if names[0] in {tensor.name for tensor in self.initializers}:
            return names
        value = self._view.constant(weight.source)
        if value is None:
            raise KeyError(weight.source)
        made = quantize_weight(
            value.astype(np.float32),
            axis=weight.axis,
            bits=self._scheme.weight_bits,
            input_scale=np.float32(1),
            bias=None,
            least_scales=self._least_scales.get((weight.source, weight.stored_axis)),
        )
        self._store(names[0], made.values if weight.axis == 1 else np.ascontiguousarray(made.values.T))
        self._store(names[1], made.scales)
        return names

    def _store(self, name: str, value: NDArray[Any]) -> None:
        self.initializers.append(numpy_helper.from_array(value, name))
