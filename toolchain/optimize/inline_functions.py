"""Replaces calls of the model's own functions by their bodies.

y = F(x), F(a) = op_n(… op_1(a))   becomes   y = op_n(… op_1(x)), for each of model.functions, all the way down.

The version converter drops functions, and neither ONNX Runtime's fusions nor the lowering look inside of them.
"""

from __future__ import annotations

import onnx
from onnx import inliner

from toolchain.optimize.applied import Applied


def apply(model: onnx.ModelProto) -> Applied:
    """Return the model without local functions; the same where it has none."""
    if not model.functions:
        return Applied(model=model, report="the model has no functions of its own")
    inlined: onnx.ModelProto = inliner.inline_local_functions(model)
    names = ", ".join(function.name for function in model.functions)
    return Applied(model=inlined, report=f"inlined the functions {names}")
