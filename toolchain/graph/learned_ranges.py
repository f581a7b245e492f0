"""Ranges that quantization-aware training learned, on their way through ONNX.

The exporter writes each as a pair QuantizeLinear, DequantizeLinear. The pairs are read off and removed, so that the
passes see the float graph; the ranges travel as an entry of the model's metadata_props to the lowering, which puts
pairs where the runtime wants them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper
from pydantic import ValidationError

from toolchain.errors import ExitCode, ToolchainError, malformed
from toolchain.graph.names import OnnxNames
from toolchain.graph.view import GraphView, read_names, rename_reads
from toolchain.project.toml_file import Section

_KEY = "edge_toolchain.ranges"

# Steps between the least and the greatest number of 8 bits.
_STEPS = 255


class LearnedRanges(Section):
    """What the lowering must know of a model that was trained for int8."""

    tensors: dict[str, tuple[float, float]]
    """Low and high by tensor; 0 lies between."""
    weight_bits: int
    """That the weights were trained for; they are on such a grid already."""


def take_pairs(model: onnx.ModelProto, *, count: int, weight_bits: int) -> onnx.ModelProto:
    """Return a copy of an exported model without its pairs of uint8, and with their ranges in its metadata.

    Raises ToolchainError (exit 18) where there are not `count` of them: the exporter lost or added some.
    """
    result, ranges = remove_pairs(model)
    tensors = {source: pairs[0] for source, pairs in ranges.items()}
    if len(tensors) != count or sum(map(len, ranges.values())) != count:
        raise _explain_lost(expected=count, found=len(tensors))
    return _with_entry(result, LearnedRanges(tensors=tensors, weight_bits=weight_bits))


def remove_pairs(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, list[tuple[float, float]]]]:
    """Return a copy of an exported model without its pairs of uint8, and the ranges that were at each tensor, in order.

    Several pairs are at one tensor where nothing that computes is left between them.

    Raises ToolchainError (exit 18) where a QuantizeLinear is no half of such a pair.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    view = GraphView.from_model(result)
    quantizers = {node.output[0]: node for node in result.graph.node if node.op_type == "QuantizeLinear"}
    paired: set[str] = set()
    ranges: dict[str, list[tuple[float, float]]] = {}
    renamed: dict[str, str] = {}
    for dequantize in result.graph.node:
        quantize = quantizers.get(dequantize.input[0]) if dequantize.op_type == "DequantizeLinear" else None
        if quantize is None:
            continue
        scale, zero_point = (view.constant(name) for name in quantize.input[1:3])
        if scale is not None and zero_point is not None:
            source = renamed.setdefault(dequantize.output[0], renamed.get(quantize.input[0], quantize.input[0]))
            step, zero = float(scale.item()), int(zero_point.item())
            if quantize.output[0] not in paired:
                ranges.setdefault(source, []).append((-zero * step, (_STEPS - zero) * step))
            paired.add(quantize.output[0])
    if len(paired) != len(quantizers):
        raise _explain_lost(expected=len(quantizers), found=len(paired))
    returned = _remove_pairs(result, renamed)
    return result, {returned.get(source, source): found for source, found in ranges.items()}


def _explain_lost(*, expected: int, found: int) -> ToolchainError:
    return ToolchainError(
        ExitCode.PARITY,
        "the export lost ranges that the model has learned",
        expected=f"{expected} pairs of QuantizeLinear and DequantizeLinear",
        found=f"{found} of them",
        fix="leave the layers around one that is lost out of qat with skip",
    )


def state_ranges(
    model: onnx.ModelProto, renamed: dict[str, str], ranges: dict[str, tuple[float, float]], *, weight_bits: int = 8
) -> dict[str, str]:
    """Take the pairs out of a model, in place, and state the ranges in its metadata.

    renamed: what each DequantizeLinear made, to what its pair quantized. Returns the new names of tensors that bear an
    output's name now.
    """
    returned = _remove_pairs(model, renamed)
    tensors = {returned.get(source, source): found for source, found in ranges.items()}
    _with_entry(model, LearnedRanges(tensors=tensors, weight_bits=weight_bits))
    return returned


def read_ranges(model: onnx.ModelProto) -> LearnedRanges | None:
    """Return what the model's metadata says; None for a model that was not trained for int8.

    Raises ToolchainError (exit 23) for an entry that is not ours, or names a tensor that the model does not have.
    """
    text = next((entry.value for entry in model.metadata_props if entry.key == _KEY), None)
    if text is None:
        return None
    try:
        learned = LearnedRanges.model_validate_json(text)
    except ValidationError as error:
        raise malformed(
            "the learned ranges of the model are corrupt",
            where=f"metadata {_KEY}",
            found=error.errors()[0]["msg"],
            fix="deploy the model from its recipe again",
        ) from error
    if lost := sorted(learned.tensors.keys() - _list_tensors(model)):
        raise malformed(
            "a learned range is of a tensor that the model does not have",
            where=f"metadata {_KEY}",
            expected="a tensor of the graph",
            found=lost[0],
            fix="deploy the model from its recipe again",
        )
    return learned


def rename_learned(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Let the learned ranges of a model be of tensors with other names, in place: old name to new name."""
    learned = read_ranges(model)
    if learned is not None:
        tensors = {names.get(name, name): found for name, found in learned.tensors.items()}
        _with_entry(model, LearnedRanges(tensors=tensors, weight_bits=learned.weight_bits))


def check_kept(before: onnx.ModelProto, after: onnx.ModelProto, *, name: str) -> None:
    """Refuse (exit 18) a rewritten model that lost a learned range, or the tensor that it is of."""
    learned = read_ranges(before)
    if learned is None:
        return
    kept = {entry.key: entry.value for entry in after.metadata_props}.get(_KEY)
    lost = sorted(learned.tensors.keys() - _list_tensors(after)) if kept else ["the entry itself"]
    if lost:
        raise ToolchainError(
            ExitCode.PARITY,
            f"{name} lost a range that the model has learned",
            where=f"metadata {_KEY}",
            expected="every tensor with a learned range in the graph",
            found=lost[0],
            fix="leave the layers around it out of qat with skip, or merge them in the module",
        )


def restore_pairs(model: onnx.ModelProto, learned: LearnedRanges) -> onnx.ModelProto:
    """Return a copy of the model with its learned ranges as pairs again: what was trained, for runs without fusions."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    inputs = {value.name for value in result.graph.input}
    names = OnnxNames.from_model(model)
    read_anew = {name: names.derive(name, "rounded") for name in learned.tensors if name in inputs}
    made_anew = {name: names.derive(name, "exact") for name in learned.tensors if name not in inputs}
    nodes: list[onnx.NodeProto] = []
    for name, rounded in read_anew.items():
        nodes += _make_pair(result, names, name, rounded, learned.tensors[name])
    for node in result.graph.node:
        rename_reads(node, read_anew)
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in made_anew:
                node.output[index] = made_anew[name]
                nodes += _make_pair(result, names, made_anew[name], name, learned.tensors[name])
    result.graph.ClearField("node")
    result.graph.node.extend(nodes)
    return result


def drop_ranges(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of the model without the entry; the same where it has none."""
    if all(entry.key != _KEY for entry in model.metadata_props):
        return model
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _clear_entry(result)
    return result


def _make_pair(
    model: onnx.ModelProto, names: OnnxNames, source: str, rounded: str, tensor_range: tuple[float, float]
) -> list[onnx.NodeProto]:
    scale = np.float32((tensor_range[1] - tensor_range[0]) / _STEPS)
    zero_point = np.uint8(np.rint(-tensor_range[0] / scale))
    parameters = [names.derive(rounded, part) for part in ("scale", "zero_point")]
    quantized = names.derive(rounded, "quantized")
    model.graph.initializer.extend(map(numpy_helper.from_array, map(np.asarray, (scale, zero_point)), parameters))
    return [
        helper.make_node("QuantizeLinear", [source, *parameters], [quantized]),
        helper.make_node("DequantizeLinear", [quantized, *parameters], [rounded]),
    ]


def _list_tensors(model: onnx.ModelProto) -> set[str]:
    return {value.name for value in model.graph.input} | {name for node in model.graph.node for name in node.output}


def _remove_pairs(model: onnx.ModelProto, renamed: dict[str, str]) -> dict[str, str]:
    """Let readers of a pair read what it quantized; an output of the graph keeps its name.

    renamed: what each DequantizeLinear made, to what its pair quantized. Returns the new names of tensors that bear an
    output's name now.
    """
    graph = model.graph
    outputs = {value.name for value in graph.output}
    kept = [node for node in graph.node if node.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    returned = {source: name for name, source in renamed.items() if name in outputs}
    inner = {name: returned.get(source, source) for name, source in renamed.items()} | returned
    for node in kept:
        rename_reads(node, inner)
        for index, name in enumerate(node.output):
            node.output[index] = returned.get(name, name)
    graph.ClearField("node")
    graph.node.extend(kept)
    read = {name for node in kept for name in read_names(node)} | outputs
    for field in (graph.initializer, graph.value_info):
        kept_values = [value for value in field if value.name in read]
        del field[:]
        field.extend(kept_values)
    return returned


def _with_entry(model: onnx.ModelProto, learned: LearnedRanges) -> onnx.ModelProto:
    _clear_entry(model)
    model.metadata_props.add(key=_KEY, value=learned.model_dump_json())
    return model


def _clear_entry(model: onnx.ModelProto) -> None:
    kept = [entry for entry in model.metadata_props if entry.key != _KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
