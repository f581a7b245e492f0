"""States a model in an opset that every supported TensorRT reads.

TensorRT 10.3 (JetPack 6) reads opsets 9 to 20, 10.15 up to 24, 11 up to 25 (NVIDIA's operator tables and ONNX opset
guide). The passes leave a model in 21, or in 18 where it pools averages, which is for ONNX Runtime's kernels
(toolchain/graph/opset.py): Q/DQ of float16 need 19. What 21 changed for the operators that 20 has is the list of types they take and
new attributes (ONNX changelog), with one exception.
"""

from __future__ import annotations

import onnx
from onnx import version_converter

from toolchain.errors import ExitCode, ToolchainError, first_line
from toolchain.graph.opset import POOLING_OPSET, read_opset
from toolchain.graph.view import ONNX_DOMAINS
from toolchain.graph.walk import iter_nodes

TENSORRT_OPSET = 20

# Its scale and bias are per channel since 21, and were per group before (ONNX changelog).
_CHANGED = frozenset({"GroupNormalization"})


def lower_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in opset 20; the same where it is in that or an older one, but for 18, which is raised.

    An AveragePool that rounds its size up stays in 18: 19 changed what it averages.

    Raises ToolchainError (exit 12) that names the operator which opset 20 does not have, or has with another meaning.
    """
    newest = read_opset(model)
    if newest == POOLING_OPSET:
        return _raise_opset(model)
    if newest <= TENSORRT_OPSET:
        return model
    for node in iter_nodes(model):
        if node.op_type in _CHANGED:
            raise _refuse(f"{node.op_type} at node {node.name}", newest)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for entry in result.opset_import:
        if entry.domain in ONNX_DOMAINS:
            entry.version = TENSORRT_OPSET
    try:
        onnx.checker.check_model(result, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _refuse(first_line(error), newest) from error
    return result


def _raise_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    for node in iter_nodes(model):
        if node.op_type == "AveragePool" and any(a.name == "ceil_mode" and a.i for a in node.attribute):
            return model
    try:
        raised: onnx.ModelProto = version_converter.convert_version(model, TENSORRT_OPSET)
    except (RuntimeError, version_converter.ConvertError):
        return model
    return raised


def _refuse(found: str, newest: int) -> ToolchainError:
    return ToolchainError(
        ExitCode.INCOMPATIBLE,
        f"the model needs opset {newest}, which TensorRT 10.3 does not read",
        expected=f"operators of opset {TENSORRT_OPSET} or older",
        found=found,
        fix=f"export the model with opset {TENSORRT_OPSET}, or write that operator with others",
    )
