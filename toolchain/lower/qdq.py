"""The Q/DQ writer: puts QuantizeLinear/DequantizeLinear pairs where a runtime's policy wants them.

The writer knows no runtime. A policy (lower/runtimes/onnxruntime.py) decides which nodes compute in int8 and says
so in a QdqPlan; the writer inserts the pairs and stores the weights as integers:

    x -> Q -> DQ -> Conv -> Relu -> Q -> DQ -> y
         w_q -> DQ --^  ^-- DQ <- b_q

The runtime recognizes the pairs around a node and replaces the whole with one integer kernel.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.set_aside import copy_without_weights
from toolchain.graph.view import GraphView, read_names, rename_reads
from toolchain.lower.affine import (
    AffineParameters,
    QuantizedWeight,
    affine_parameters,
    find_least_scales,
    is_on_grid,
    quantize_bias,
    quantize_weight,
)
from toolchain.lower.qdq_plan import QdqPlan, Scheme, WeightInput
from toolchain.lower.ranges import TensorRange
from toolchain.lower.safe_scales import SAFE_BITS, find_plan_scales

# Elements of a shared bias from which the nodes that quantize it, some 500 bytes, are smaller than int32 and a scale each.
_FOLDED_BIAS_MIN = 64


def write_qdq(
    model: onnx.ModelProto, plan: QdqPlan, ranges: Mapping[str, TensorRange], scheme: Scheme
) -> onnx.ModelProto:
    """Return a copy of the model with the plan's nodes between Q/DQ pairs; the model is not changed.

    Raises KeyError where the plan names a node or tensor that the model or the ranges lack.
    """
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    result = copy_without_weights(model)
    parameters = resolve_parameters(plan, ranges, scheme)
    view = replace(GraphView.from_model(result), initializers=weights)
    emission = _Emission(view, OnnxNames.from_model(model), plan, parameters, scheme)
    nodes = emission.drop_bypassed(list(emission.nodes()))
    nodes = [*emission.restore_weights(nodes), *nodes]
    made = {name for node in nodes for name in node.output}
    used = {name for node in nodes for name in read_names(node)} | {value.name for value in result.graph.output}
    initializers = [t for t in [*weights.values(), *emission.initializers] if t.name in used - made]
    replaced = weights.keys() - used
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
        self,
        view: GraphView,
        names: OnnxNames,
        plan: QdqPlan,
        parameters: Mapping[str, AffineParameters],
        scheme: Scheme,
    ) -> None:
        self.initializers: list[onnx.TensorProto] = []
        self._view = view
        self._names = names
        self._planned = {node.name: node for node in plan.nodes}
        self._returned = {node.output for node in plan.nodes if node.output is not None}
        self._parameters = parameters
        self._scheme = scheme
        self._shared: dict[tuple[str, str, tuple[int, ...], bytes], str] = {}
        self._bypassed: set[str] = set()
        self._weights: dict[tuple[str, int], QuantizedWeight] = {}
        self._least_scales, self._bias_readers = self._read_biases(plan)
        if scheme.saturates and scheme.weight_bits > SAFE_BITS:
            for key, scales in find_plan_scales(plan, view).items():
                self._least_scales[key] = np.maximum(self._least_scales.get(key, 0.0), scales)

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
                activation = planned.activations[0]
                yield from self._quantize_weight(node, planned.weight, activation)
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

    def drop_bypassed(self, nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """Return the nodes without the transpositions of weights that nobody reads any more."""
        read = {name for node in nodes for name in read_names(node)} | self._view.output_names
        return [node for node in nodes if not set(node.output) <= self._bypassed - read]

    def restore_weights(self, nodes: Sequence[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        """Make the weights that others read in float too from their integers: stored in both forms, they would grow."""
        read = {name for node in nodes for name in read_names(node)}
        for (source, axis), quantized in self._weights.items():
            if source not in read:
                continue
            read.remove(source)  # one form is enough
            if not self._scheme.folds_constants:
                yield self._dequantize_constant((source,), quantized.values, quantized.scales, axis, source)
                continue
            names = [self._names.derive(source, part) for part in ("quantized", "scale", "axes", "float", "column")]
            values, scales = self._share(names[0], quantized.values), self._share(names[1], quantized.scales)
            axes = self._share(names[2], np.delete(np.arange(quantized.values.ndim), axis))
            yield helper.make_node("Cast", [values], [names[3]], names[3], to=TensorProto.FLOAT)
            yield helper.make_node("Unsqueeze", [scales, axes], [names[4]], names[4])
            yield helper.make_node("Mul", [names[3], names[4]], [source], self._names.derive(source, "restore"))

    def _read_biases(self, plan: QdqPlan) -> tuple[dict[tuple[str, int], NDArray[np.float64]], Counter[str]]:
        """Return the least scales that the biases at each weight need, and how many nodes read each bias."""
        least: dict[tuple[str, int], NDArray[np.float64]] = {}
        readers: Counter[str] = Counter()
        inputs = {node.name: node.input for node in self._view.model.graph.node if node.name in self._planned}
        for node in plan.nodes:
            if node.weight is None or node.weight.bias_index is None or not self._scheme.int32_bias:
                continue
            name = inputs[node.name][node.weight.bias_index]
            bias = self._view.constant(name)
            if bias is not None:
                scales = find_least_scales(bias.astype(np.float32), self._parameters[node.activations[0]].scale)
                key = node.weight.source, node.weight.stored_axis
                least[key] = np.maximum(least.get(key, 0.0), scales)
                readers[name] += 1
        return least, readers

    def _quantize_weight(self, node: onnx.NodeProto, spec: WeightInput, activation: str) -> Iterator[onnx.NodeProto]:
        quantized = self._find_quantized(spec)
        place = node.name, "weight"
        if spec.perm:
            self._bypassed.add(node.input[spec.index])
        dequantized = self._names.derive(*place, "dequantized")
        node.input[spec.index] = dequantized
        stored = self._names.derive(*place, "stored") if spec.perm else dequantized
        dequantize = self._dequantize_constant(place, quantized.values, quantized.scales, spec.stored_axis, stored)
        yield dequantize
        if spec.perm:
            name = self._names.derive(*place, "transpose")
            yield helper.make_node("Transpose", [stored], [dequantized], name, perm=spec.perm)
        if spec.bias_index is None or not self._scheme.int32_bias:
            return
        name, place = node.input[spec.bias_index], (node.name, "bias")
        bias = self._view.constant(name)
        if bias is None:
            raise KeyError(name)
        dequantized = self._names.derive(*place, "dequantized")
        node.input[spec.bias_index] = dequantized
        if self._bias_readers[name] > 1 and bias.size > _FOLDED_BIAS_MIN:
            input_scale_name = self._names.derive(activation, "scale")
            yield from self._fold_bias(place, name, dequantize.input[1], input_scale_name, bias.size)
            return
        input_scale = self._parameters[activation].scale
        scales = quantized.scales * input_scale
        values = quantize_bias(bias.astype(np.float32), quantized.scales, input_scale)
        yield self._dequantize_constant(place, values, scales, 0, dequantized)

    def _find_quantized(self, spec: WeightInput) -> QuantizedWeight:
        """Return the integers of a weight, the same for all who share it."""
        key = spec.source, spec.stored_axis
        if key not in self._weights:
            weight = self._view.constant(spec.source)
            if weight is None:
                raise KeyError(spec.source)
            self._weights[key] = quantize_weight(
                weight.astype(np.float32),
                axis=spec.stored_axis,
                bits=self._choose_bits(weight, spec.stored_axis),
                input_scale=np.float32(1),
                bias=None,
                float16_scales=self._scheme.float16_scales,
                least_scales=self._least_scales.get(key),
            )
        return self._weights[key]

    def _fold_bias(
        self, place: tuple[str, ...], bias: str, weight_scale: str, input_scale: str, size: int
    ) -> Iterator[onnx.NodeProto]:
        """Quantize a bias that several nodes share when the model is opened: as int32, each would have its own."""
        parts = ("scale", "steps", "rounded", "quantized")
        scale, steps, rounded, quantized = (self._names.derive(*place, part) for part in parts)
        zero_point = self._share(self._names.derive(*place, "zero_point"), np.zeros(size, np.int32))
        yield helper.make_node("Mul", [weight_scale, input_scale], [scale], scale)
        yield helper.make_node("Div", [bias, scale], [steps], steps)
        yield helper.make_node("Round", [steps], [rounded], rounded)
        yield helper.make_node("Cast", [rounded], [quantized], quantized, to=TensorProto.INT32)
        output, name = (self._names.derive(*place, part) for part in ("dequantized", "dequantize"))
        yield helper.make_node("DequantizeLinear", [quantized, scale, zero_point], [output], name, axis=0)

    def _choose_bits(self, weight: NDArray[np.generic], axis: int) -> int:
        trained = self._scheme.trained_weight_bits
        if trained is not None and is_on_grid(weight.astype(np.float32), axis=axis, bits=trained):
            return trained
        return self._scheme.weight_bits

    def _dequantize_constant(
        self, place: tuple[str, ...], values: NDArray[Any], scales: NDArray[np.float32], axis: int, output: str
    ) -> onnx.NodeProto:
        names = [self._names.derive(*place, part) for part in ("quantized", "scale", "zero_point")]
        inputs = [self._share(names[0], values), self._share(names[1], scales)]
        # Of one weight alone: with session.x64quantprecision ONNX Runtime 1.32 opens no graph in which two have the same.
        inputs.append(self._share(names[2], np.zeros(scales.shape, dtype=values.dtype), owner=inputs[0]))
        node_name = self._names.derive(*place, "dequantize")
        return helper.make_node("DequantizeLinear", inputs, [output], node_name, axis=axis)

    def _share(self, name: str, value: NDArray[Any], *, owner: str = "") -> str:
        """Return the name of an initializer of this value: an equal one of its owner, or a new one of this name."""
        key = owner, str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).digest()
        if key not in self._shared:
            self._shared[key] = name
            self._store(name, value)
        return self._shared[key]

    def _store(self, name: str, value: NDArray[Any]) -> None:
        self.initializers.append(numpy_helper.from_array(value, name))
