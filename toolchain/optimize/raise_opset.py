"""States the model in opset 21, or in 18 where it pools averages.

toolchain/graph/opset.py says why these. Where a model that pools needs a newer operator (Gelu), the pooling goes with it.

The converter is onnx's own. It leaves two things to us. Before IR version 4, every initializer had to be listed as an
input too, which since then means that a caller may override it. Before opset 11, Resize and Upsample had one rule for
coordinates, x_original = x_resized / scale, rounded down; later that is coordinate_transformation_mode "asymmetric" and
nearest_mode "floor", and the default is another.
"""

from __future__ import annotations

import re

import onnx
from onnx import helper, version_converter

from toolchain.errors import first_line, usage
from toolchain.graph.opset import OPSET, POOLING_OPSET, find_newer, pools_averages, read_opset
from toolchain.graph.set_aside import list_large_weights, put_weights_back, set_weights_aside
from toolchain.graph.view import ONNX_DOMAINS
from toolchain.graph.walk import iter_nodes
from toolchain.optimize.applied import Applied

# The IR version that came with opset 21, and the first in which initializers need not be inputs (ONNX, docs/IR.md).
_IR_VERSION = 10
_CONSTANT_IR_VERSION = 4

# The first opset in which Resize says how it maps coordinates (ONNX changelog, Resize-11).
_RESIZE_OPSET = 11

# What the converter says: "No Adapter From Version $8 for Scatter".
_NO_ADAPTER = re.compile(r"No Adapter .*? for (\w+)")


def apply(model: onnx.ModelProto) -> Applied:
    """Return the model in its opset; the same where it is in that one, or in a newer one that it needs.

    Raises ToolchainError (exit 2) that names the operator for which there is no conversion.
    """
    version = read_opset(model)
    pools = pools_averages(model)
    goal = POOLING_OPSET if pools else OPSET
    if version < goal:
        return Applied(model=_raise_to(model, version, goal), report=f"raised opset {version} to {goal}")
    if version == goal:
        return Applied(model=model, report=f"it is in opset {goal}")
    if not pools or version > OPSET:
        return Applied(model=model, report=f"it is in opset {version}, and no pass goes back from there")
    if (newer := find_newer(model, version)) is not None:
        return Applied(model=model, report=f"{newer} keeps it in opset {version}, and its pooling too")
    return Applied(model=_relabel(model), report=f"restated opset {version} as {goal}, for its pooling")


def _raise_to(model: onnx.ModelProto, version: int, goal: int) -> onnx.ModelProto:
    large = list_large_weights(model)  # the converter holds a model six times
    try:
        converted: onnx.ModelProto = version_converter.convert_version(set_weights_aside(model, large), goal)
    except (RuntimeError, version_converter.ConvertError) as error:
        match = _NO_ADAPTER.search(str(error))
        raise usage(
            f"the model's opset cannot be raised to {goal}",
            where=f"operator {match[1]}" if match else None,
            expected=f"opset {goal}, or operators that onnx {onnx.__version__} can convert",
            found=f"opset {version}: {first_line(error)}",
            fix=f"export the model again with opset {goal}",
        ) from error
    converted = put_weights_back(converted, model, large)
    if version < _RESIZE_OPSET:
        for node in iter_nodes(converted):
            if node.op_type == "Resize":
                _keep_old_coordinates(node)
    if converted.ir_version < _CONSTANT_IR_VERSION:
        initialized = {tensor.name for tensor in converted.graph.initializer}
        inputs = [value for value in converted.graph.input if value.name not in initialized]
        del converted.graph.input[:]
        converted.graph.input.extend(inputs)
    converted.ir_version = max(converted.ir_version, _IR_VERSION)
    return converted


def _relabel(model: onnx.ModelProto) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for entry in result.opset_import:
        if entry.domain in ONNX_DOMAINS:
            entry.version = POOLING_OPSET
    return result


def _keep_old_coordinates(node: onnx.NodeProto) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name == "mode"]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
    node.attribute.append(helper.make_attribute("nearest_mode", "floor"))
