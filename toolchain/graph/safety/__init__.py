"""Checks of a parsed ONNX model that nobody vouches for, beyond what the onnx checker looks at. One matter a file."""

from __future__ import annotations

import onnx

from toolchain.errors import first_line, malformed
from toolchain.graph.safety.attributes import check_attributes
from toolchain.graph.safety.counts import check_counts
from toolchain.graph.safety.functions import check_functions
from toolchain.graph.safety.interface import check_interface
from toolchain.graph.safety.loops import check_loops
from toolchain.graph.safety.opsets import check_opsets
from toolchain.graph.safety.quantization import check_scales
from toolchain.graph.safety.sizes import check_sizes
from toolchain.graph.safety.tensors import check_data, check_declared


def check_file(model: onnx.ModelProto, where: str) -> None:
    """Check what a model says of itself, before anything outside of its file is read.

    Raises ToolchainError (exit 23): too much of anything, text that is not UTF-8, functions that call themselves or
    multiply, an operator set that is unknown, tensors of no known type or that declare too much,
    outputs of one name.
    """
    check_counts(model, where)
    check_functions(model, where)
    check_opsets(model, where)
    check_declared(model, where)
    check_interface(model, where)


def check_model(model: onnx.ModelProto, where: str) -> None:
    """Check a model whose data is all inside it.

    Raises ToolchainError (exit 23): what `check_file` refuses, tensors with other data than they declare, scales that
    are not positive, attributes without meaning, loops without end, what the onnx checker finds, a tensor of known
    shape that reaches 2 GiB.
    """
    check_file(model, where)
    check_data(model, where)
    check_attributes(model, where)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise malformed(
            "the ONNX checker refuses the model",
            where=where,
            found=first_line(error),
            fix="export it again, and check the file with onnx.checker.check_model",
        ) from error
    check_scales(model, where)
    check_loops(model, where)
    check_sizes(model, where)
