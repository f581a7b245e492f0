"""Refuses int8 in an opset that is so new that ONNX Runtime has no Q/DQ pairs of it yet."""

from __future__ import annotations

import onnx
import onnx.parser

from toolchain.agent.measure.runtimes.onnxruntime import read_version
from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.opset import OPSET, read_opset
from toolchain.graph.session import HostSession

_PAIR = """<ir_version: 8, opset_import: ["" : {opset}]> net (float[1] x) => (float[1] y)
    <float scale = {{1.0}}, uint8 zero = {{0}}> {{
        q = QuantizeLinear (x, scale, zero)
        y = DequantizeLinear (q, scale, zero)
    }}"""


def check_pairs(model: onnx.ModelProto) -> None:
    """Refuse (exit 12) a model of an opset whose Q/DQ pairs this machine does not run."""
    opset = read_opset(model)
    if opset <= OPSET or runs_pairs(opset):
        return
    newest = next((older for older in range(opset - 1, OPSET, -1) if runs_pairs(older)), OPSET)
    raise ToolchainError(
        ExitCode.INCOMPATIBLE,
        f"ONNX Runtime {read_version()} has no QuantizeLinear of the model's opset",
        expected=f"up to {newest}; {OPSET} is the newest that brings anything",
        found=str(opset),
        fix=f"export the model again with opset_version={OPSET}, or deploy it in float32",
    )


def runs_pairs(opset: int) -> bool:
    """Return whether ONNX Runtime opens a Q/DQ pair of this opset here."""
    try:
        HostSession(onnx.parser.parse_model(_PAIR.format(opset=opset)))
    except ToolchainError:
        return False
    return True
