"""LSTM with weights in int8 and a scale of each step for what it reads: ONNX Runtime's DynamicQuantizeLSTM.

    LSTM(X, W (D, 4H, I), R (D, 4H, H), …)  becomes  DynamicQuantizeLSTM(X, Wq (D, I, 4H), Rq (D, H, 4H), …, scales (D, 4H))

D directions, I inputs, H hidden. ONNX Runtime has none for GRU and RNN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.view import GraphView, attribute_int
from toolchain.lower.affine import quantize_weight
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, Scheme, WeightInput
from toolchain.lower.safe_scales import SAFE_BITS, find_safe_scales

DOMAIN = "com.microsoft"

_WEIGHTS = (1, 2)
# X, W, R, B, sequence_lens, initial_h, initial_c, P: what both operators read, before the scales.
_INPUTS = 8


def find_recurrent(model: onnx.ModelProto) -> dict[str, QuantizedNode]:
    """Return the LSTMs of a float model whose weights are constants of their own, by name.

    Not with the batch first (layout 1), which the operator does not know.
    """
    view = GraphView.from_model(model)
    return {
        node.name: QuantizedNode(
            name=node.name,
            op_type=node.op_type,
            activations=(node.input[0],),
            weight=WeightInput(index=1, axis=1, bias_index=None, source=node.input[1]),
            output=None,
            scale="dynamic",
        )
        for node in model.graph.node
        if node.op_type == "LSTM"
        and attribute_int(node, "layout", 0) == 0
        and all(_is_own(view, node.input[index]) for index in _WEIGHTS)
    }


def add_recurrent(plan: QdqPlan, model: onnx.ModelProto, keep_float: frozenset[str]) -> QdqPlan:
    """Return the plan with the LSTMs that can be in int8, without those whose names are in keep_float."""
    planned = {node.name: node for node in plan.nodes}
    planned |= {name: node for name, node in find_recurrent(model).items() if name not in keep_float}
    return QdqPlan(tuple(planned[node.name] for node in model.graph.node if node.name in planned))


def _is_own(view: GraphView, name: str) -> bool:
    tensor = view.initializers.get(name)
    seen = view.output_names | {value.name for value in view.model.graph.input}
    if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT or name in seen:
        return False
    value = view.constant(name)
    return len(view.consumers[name]) == 1 and value is not None and bool(np.isfinite(value).all())


@dataclass(frozen=True)
class _Stored:
    """values: int8, (directions, inputs, 4 hidden); scales: (directions, 4 hidden)."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]


def write_recurrent(
    view: GraphView, node: onnx.NodeProto, names: OnnxNames, scheme: Scheme
) -> tuple[onnx.NodeProto, Iterator[onnx.TensorProto]]:
    """Return the node in an LSTM's place, of the same name, and its constants."""
    stored = [_quantize(view, node.input[index], scheme) for index in _WEIGHTS]
    made = [
        {part: names.derive(node.name, kind, part) for part in ("weight", "scale", "zero_point")}
        for kind in ("input", "recurrence")
    ]
    inputs = [*node.input, *[""] * (_INPUTS - len(node.input))]
    for index, parts in zip(_WEIGHTS, made, strict=True):
        inputs[index] = parts["weight"]
    inputs += [parts[part] for parts in made for part in ("scale", "zero_point")]
    result = helper.make_node("DynamicQuantizeLSTM", inputs, list(node.output), node.name, domain=DOMAIN)
    result.attribute.extend(attribute for attribute in node.attribute if attribute.name != "layout")
    arrays = [
        (parts[part], value)
        for parts, weight in zip(made, stored, strict=True)
        for part, value in (
            ("weight", weight.values),
            ("scale", weight.scales),
            ("zero_point", np.zeros(weight.scales.shape, np.int8)),
        )
    ]
    return result, (numpy_helper.from_array(np.asarray(value), name) for name, value in arrays)


def state_domain(model: onnx.ModelProto) -> None:
    """Say in the model, in place, that it uses ONNX Runtime's operators, where it does and does not say so yet."""
    stated = {opset.domain for opset in model.opset_import}
    if DOMAIN not in stated and any(node.domain == DOMAIN for node in model.graph.node):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))


def _quantize(view: GraphView, name: str, scheme: Scheme) -> _Stored:
    value = view.constant(name)
    if value is None:
        raise KeyError(name)
    saturates = scheme.saturates and scheme.weight_bits > SAFE_BITS
    made = [
        quantize_weight(
            weight,
            axis=0,
            bits=scheme.weight_bits,
            input_scale=np.float32(1),
            bias=None,
            least_scales=find_safe_scales(weight, axis=0) if saturates else None,
        )
        for weight in value.astype(np.float32)
    ]
    values = np.ascontiguousarray(np.stack([weight.values.T for weight in made]))
    return _Stored(values=values, scales=np.stack([weight.scales for weight in made]))
