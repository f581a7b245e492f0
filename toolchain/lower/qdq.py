"""The Q/DQ writer: puts QuantizeLinear/DequantizeLinear pairs where a runtime's policy wants them.

The writer knows no runtime. A policy (lower/onnxruntime.py) decides which nodes compute in int8 and says
so in a QdqPlan; the writer inserts the pairs and stores the weights as integers:

    x -> Q -> DQ -> Conv -> Relu -> Q -> DQ -> y
         w_q -> DQ --^  ^-- DQ <- b_q

The runtime recognizes the pairs around a node and replaces the whole with one integer kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.lower.affine import ActivationType, AffineParameters, affine_parameters, is_on_grid, quantize_weight
from toolchain.lower.ranges import TensorRange
from toolchain.onnx_graph import GraphView, read_names, rename_reads
from toolchain.onnx_names import OnnxNames


@dataclass(frozen=True)
class WeightInput:
    """The constant input of a node that is stored as int8, and its bias, which a scheme may store as int32."""

    index: int
    axis: int
    """The axis of the output channels: one scale for each index on it."""
    bias_index: int | None


@dataclass(frozen=True)
class QuantizedNode:
    """One node that computes in int8."""

    name: str
    op_type: str
    activations: tuple[str, ...]
    """Tensors that it reads through Q/DQ."""
    weight: WeightInput | None
    output: str | None
    """The tensor that leaves it through Q/DQ (behind an absorbed Relu or Clip); None leaves it in float."""
    shares_range: bool = False
    """Its output has the scale and zero point of its input, because it only moves or selects values."""


@dataclass(frozen=True)
class QdqPlan:
    """The nodes that compute in int8, in graph order."""

    nodes: tuple[QuantizedNode, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors whose range calibration must find, without repetition."""
        names = [name for node in self.nodes for name in (*node.activations, node.output) if name]
        return tuple(dict.fromkeys(names))

    @property
    def weighted_layers(self) -> tuple[str, ...]:
        """The names of the nodes that carry weights: the layers that a search decides about."""
        return tuple(node.name for node in self.nodes if node.weight is not None)


@dataclass(frozen=True)
class Scheme:
    """How numbers become integers on one runtime and CPU."""

    activation_type: ActivationType
    symmetric: bool
    weight_bits: int
    reason: str
    int32_bias: bool = True
    """Store the bias of a weighted node as int32; False leaves it in float."""
    float16_scales: bool = False
    """Every scale is also a float16 number, so that a graph in float16 can state it without rounding."""
    trained_weight_bits: int | None = None
    """A weight that is on a grid of so many bits keeps it; None where no training put it there."""


def write_qdq(
    model: onnx.ModelProto, plan: QdqPlan, ranges: Mapping[str, TensorRange], scheme: Scheme
) -> onnx.ModelProto:
    """Return a copy of the model with the plan's nodes between Q/DQ pairs; the model is not changed.

    Raises KeyError where the plan names a node or tensor that the model or the ranges lack.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    parameters = resolve_parameters(plan, ranges, scheme)
    emission = _Emission(GraphView.from_model(result), plan, parameters, scheme)
    nodes = list(emission.nodes())
    used = {name for node in nodes for name in read_names(node)} | {value.name for value in result.graph.output}
    initializers = [t for t in [*result.graph.initializer, *emission.initializers] if t.name in used]
    replaced = {t.name for t in result.graph.initializer} - used
    inputs = [value for value in result.graph.input if value.name not in replaced]
    for field, values in (("node", nodes), ("initializer", initializers), ("input", inputs)):
        result.graph.ClearField(field)
        getattr(result.graph, field).extend(values)
    # Recorded shapes belong to tensors that may have been renamed; whoever needs shapes infers them anew.
    result.graph.ClearField("value_info")
    return result


def resolve_parameters(plan: QdqPlan, ranges: Mapping[str, TensorRange], scheme: Scheme) -> dict[str, AffineParameters]:
    """Return scale and zero point of every tensor of the plan; an output that shares a range takes its input's."""
    parameters = {
        name: affine_parameters(
            ranges[name], scheme.activation_type, symmetric=scheme.symmetric, float16_scale=scheme.float16_scales
        )
        for name in plan.tensors
    }
    for node in plan.nodes:
        if node.shares_range and node.output is not None:
            parameters[node.output] = parameters[node.activations[0]]
    return parameters


class _Emission:
    """The nodes of the new graph, in an order that can run: each pair stands right behind its tensor's producer."""

    def __init__(
        self, view: GraphView, plan: QdqPlan, parameters: Mapping[str, AffineParameters], scheme: Scheme
    ) -> None:
        self.initializers: list[onnx.TensorProto] = []
        self._view = view
        self._names = OnnxNames.from_model(view.model)
        self._planned = {node.name: node for node in plan.nodes}
        self._returned = {node.output for node in plan.nodes if node.output is not None}
        self._parameters = parameters
        self._scheme = scheme

    def nodes(self) -> Iterator[onnx.NodeProto]:
        graph = self._view.model.graph
        for name in self._parameters:
            if name not in self._view.producers:
                yield from self._quantize(name, source=name)
        for node in graph.node:
            planned = self._planned.get(node.name)
            own_reads = (
                {name: self._names.derive(name, "dequantized", node.name) for name in planned.activations}
                if planned
                else {}
            )
            for name, dequantized in own_reads.items():
                yield self._dequantize(name, dequantized)
            if planned is not None and planned.weight is not None:
                yield from self._quantize_weight(node, planned.weight, self._parameters[planned.activations[0]].scale)
            shared_reads = {
                name: self._names.derive(name, "dequantized") for name in read_names(node) if name in self._returned
            }
            rename_reads(node, {**shared_reads, **own_reads})
            outputs = [name for name in node.output if name in self._parameters]
            returned = self._view.output_names & self._returned
            raw = {name: self._names.derive(name, "raw") for name in outputs if name in returned}
            for index, name in enumerate(node.output):
                node.output[index] = raw.get(name, name)
            yield node
            for name in outputs:
                yield from self._quantize(name, source=raw.get(name, name))
                if name in self._returned and self._is_read_shared(name):
                    yield self._dequantize(name, self._names.derive(name, "dequantized"))
                if name in raw:
                    yield self._dequantize(name, name)

    def _is_read_shared(self, name: str) -> bool:
        """Return whether a node that has no DequantizeLinear of its own for a tensor reads it."""
        readers = self._view.consumers.get(name, ())
        return any(
            reader.name not in self._planned or name not in self._planned[reader.name].activations for reader in readers
        )

    def _quantize(self, name: str, *, source: str) -> Iterator[onnx.NodeProto]:
        parameters = self._parameters[name]
        scale, zero_point = (self._names.derive(name, part) for part in ("scale", "zero_point"))
        self._store(scale, np.asarray(parameters.scale, dtype=np.float32))
        self._store(zero_point, np.asarray(parameters.zero_point, dtype=parameters.dtype))
        outputs = [self._names.derive(name, "quantized")]
        node_name = self._names.derive(name, "quantize")
        yield helper.make_node("QuantizeLinear", [source, scale, zero_point], outputs, node_name)

    def _dequantize(self, name: str, output: str) -> onnx.NodeProto:
        inputs = [self._names.derive(name, part) for part in ("quantized", "scale", "zero_point")]
        return helper.make_node("DequantizeLinear", inputs, [output], self._names.derive(output, "dequantize"))

    def _quantize_weight(
        self, node: onnx.NodeProto, spec: WeightInput, input_scale: np.float32
    ) -> Iterator[onnx.NodeProto]:
        weight = self._view.constant(node.input[spec.index])
        bias_index = spec.bias_index if self._scheme.int32_bias else None
        bias = None if bias_index is None else self._view.constant(node.input[bias_index])
        if weight is None:
            raise KeyError(node.input[spec.index])
        quantized = quantize_weight(
            weight.astype(np.float32),
            axis=spec.axis,
            bits=self._choose_bits(weight, spec.axis),
            input_scale=input_scale,
            bias=None if bias is None else bias.astype(np.float32),
            float16_scales=self._scheme.float16_scales,
        )
        dequantize = self._dequantize_constant(node.name, "weight", quantized.values, quantized.scales, spec.axis)
        node.input[spec.index] = dequantize.output[0]
        yield dequantize
        if bias_index is not None and quantized.bias is not None:
            dequantize = self._dequantize_constant(node.name, "bias", quantized.bias, quantized.scales * input_scale, 0)
            node.input[bias_index] = dequantize.output[0]
            yield dequantize

    def _choose_bits(self, weight: NDArray[np.generic], axis: int) -> int:
        trained = self._scheme.trained_weight_bits
        if trained is not None and is_on_grid(weight.astype(np.float32), axis=axis, bits=trained):
            return trained
        return self._scheme.weight_bits

    def _dequantize_constant(
        self,
        layer: str,
        role: str,
        values: NDArray[np.int8] | NDArray[np.int32],
        scales: NDArray[np.float32],
        axis: int,
    ) -> onnx.NodeProto:
        inputs = [self._names.derive(layer, role, part) for part in ("quantized", "scale", "zero_point")]
        for name, value in zip(inputs, (values, scales, np.zeros(scales.shape, dtype=values.dtype)), strict=True):
            self._store(name, value)
        outputs = [self._names.derive(layer, role, "dequantized")]
        node_name = self._names.derive(layer, role, "dequantize")
        return helper.make_node("DequantizeLinear", inputs, outputs, node_name, axis=axis)

    def _store(self, name: str, value: NDArray[np.generic]) -> None:
        self.initializers.append(numpy_helper.from_array(value, name))
