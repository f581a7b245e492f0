"""A model that came quantized: for a CPU it is passed through, and said so.

Its integers are somebody's decision, and proven there. To quantize what is left in float would change it silently.
"""

from __future__ import annotations

from typing import Any

import onnx

from toolchain.graph.view import GraphView
from toolchain.graph.walk import iter_nodes

_QUANTIZED = frozenset(
    """
    QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul ConvInteger MatMulInteger
    QGemm QLinearAdd QAttention MatMulNBits MatMulBnb4 DynamicQuantizeMatMul DynamicQuantizeLSTM MatMulIntegerToFloat
    """.split()  # noqa: SIM905  # as a list, these names are 15 lines
)
_CONVERTING = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_MULTIPLYING = frozenset({"Conv", "ConvTranspose", "Gemm", "GRU", "LSTM", "MatMul", "RNN"})


def came_quantized(model: onnx.ModelProto) -> bool:
    """Return whether a model holds operators of quantization."""
    return any(node.op_type in _QUANTIZED for node in iter_nodes(model))


def describe_passed_through(model: onnx.ModelProto) -> dict[str, Any]:
    """Return what lowering.json says of a model that is passed through."""
    view = GraphView.from_model(model)
    layers, floats = [], []
    for node in model.graph.node:
        producers = [view.producers.get(name) for name in node.input[:2]]
        dequantized = all(producer is not None and producer.op_type == "DequantizeLinear" for producer in producers)
        if node.op_type in _QUANTIZED - _CONVERTING or (node.op_type in _MULTIPLYING and dequantized):
            layers.append({"name": node.name, "op": node.op_type, "precision": "int8"})
        elif node.op_type in _MULTIPLYING:
            reason = "the model came quantized and is passed through: this layer was left in float"
            floats.append({"name": node.name, "op": node.op_type, "reason": reason})
    return {
        "came_quantized": {"passed_through": True},
        "sqnr_db": {},
        "held_back": [],
        "kept_in_float": floats,
        "layers": layers,
        "ranges": {},
        "range_sources": {},
        "speed_trials": [],
    }
