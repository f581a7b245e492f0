"""Preflight: whether TensorRT has every operator of a graph, before anything is calibrated, built or sent.

Two judges. The table below is what every supported version has (10.3 to 11), from the operator tables of onnx-tensorrt.
Where TensorRT for RTX is installed, NVIDIA's own parser judges the lowered graph as well (lower/tensorrt/rtx.py).
"""

from __future__ import annotations

import onnx

from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.view import ONNX_DOMAINS, GraphView
from toolchain.graph.walk import iter_nodes

# Operators of ONNX up to opset 20 that onnx-tensorrt marks as supported, without those that came after 10.3.
SUPPORTED = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast CastLike Ceil Celu
    Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout
    Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm
    GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid
    HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less
    LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish
    Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow QuantizeLinear RNN RandomNormal RandomNormalLike
    RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round Scan
    ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth
    Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905  # as a list, these names are 140 lines
)

# Operators with an attribute, an output or an input that the parser restricts.
_POOLINGS = frozenset({"AveragePool", "MaxPool", "LpPool"})
_ONE_OUTPUT = frozenset({"MaxPool", "LayerNormalization"})
_CONSTANT_SECOND = frozenset({"OneHot", "CumSum"})


def check_operators(model: onnx.ModelProto) -> None:
    """Refuse (exit 12) a float model with an operator that a supported TensorRT lacks; the first one is named."""
    for node in iter_nodes(model):
        name = f"{node.domain}.{node.op_type}" if node.domain not in ONNX_DOMAINS else node.op_type
        if name not in SUPPORTED:
            raise refuse_node(
                node,
                expected="an operator of onnx-tensorrt's table",
                found=name,
                fix="write it with operators of that table",
            )
    view = GraphView.from_model(model)
    for node in model.graph.node:
        limit = _find_limit(view, node)
        if limit is not None:
            expected, found, fix = limit
            raise refuse_node(node, expected=expected, found=found, fix=fix)


def refuse_node(node: onnx.NodeProto, *, expected: str, found: str, fix: str) -> ToolchainError:
    """Return the error (exit 12) for a node that TensorRT does not take."""
    where = f"node {node.name or ', '.join(node.output)} ({node.op_type})"
    what = "TensorRT cannot take this model"
    return ToolchainError(ExitCode.INCOMPATIBLE, what, where=where, expected=expected, found=found, fix=fix)


def _find_limit(view: GraphView, node: onnx.NodeProto) -> tuple[str, str, str] | None:
    """Return what the table restricts at a node, as expected, found and fix, or None."""
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    dilations = attributes.get("dilations", [])
    limits = (
        (
            node.op_type in _ONE_OUTPUT and any(node.output[1:]),
            "one output",
            str(len(node.output)),
            "leave the others out",
        ),
        (
            node.op_type in _POOLINGS and any(value != 1 for value in dilations),
            "dilations of 1",
            str(dilations),
            "pool without dilations",
        ),
        (
            node.op_type == "ScatterND" and attributes.get("reduction", b"none") != b"none",
            "no reduction",
            str(attributes.get("reduction")),
            "scatter without a reduction",
        ),
        (
            node.op_type == "Resize" and (attributes.get("mode") == b"cubic" or attributes.get("antialias", 0) != 0),
            "mode nearest or linear, without antialiasing",
            f"mode {attributes.get('mode')}, antialias {attributes.get('antialias', 0)}",
            "resize with mode linear",
        ),
        (
            node.op_type in _CONSTANT_SECOND and not view.is_constant(node.input[1]),
            "a constant as second input",
            node.input[1] if len(node.input) > 1 else "none",
            "make it a constant of the model",
        ),
    )
    return next(((expected, found, fix) for broken, expected, found, fix in limits if broken), None)
