"""Runs the float model and the int8 model side by side, and makes each layer of the one nearer to the other's in turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.lower.techniques.segments import run_in_segments

Channels = NDArray[np.float64]

# Of one channel in one sample, evenly spread: a mean over them and 32 samples is off by less than a step of the output,
# and the time that statistics take is a small part of the model's own.
_POSITIONS = 1024


@dataclass(frozen=True)
class Moments:
    """What is known of the outputs of one layer, each channel for itself, (channels,)."""

    float_mean: Channels
    int8_mean: Channels
    covariance: Channels
    """Between the two."""
    int8_variance: Channels


@dataclass(frozen=True)
class Line:
    """What brings a layer's output nearer to the float model's: gain * output + shift, (channels,) each, float32."""

    gain: NDArray[np.float32]
    shift: NDArray[np.float32]


def fit_layers(
    model: onnx.ModelProto,
    lowered: onnx.ModelProto,
    layers: Mapping[str, onnx.NodeProto],
    feeds: Sequence[Mapping[str, NDArray[Any]]],
    fit: Callable[[str, Moments], Line],
) -> dict[str, Line]:
    """Return the line of each layer, in the order of the graph, each found with those of all layers before it applied.

    model: the float model, of which the layers are nodes; lowered: the same with its pairs; fit: given the name of a
    layer and its moments. Channels in which a line is not finite keep their output. A layer of which no node of its
    name returns the output in the int8 model has no line.
    """
    layers = find_returned(lowered, layers)
    runs = [
        run_in_segments(graph, feeds, _find_outputs(graph, layers), threads=os.cpu_count() or 1)
        for graph in (model, lowered)
    ]
    names = {output: name for name, output in _name_outputs(model, layers).items()}
    lines: dict[str, Line] = {}
    for (tensor, expected), (_, found) in zip(*runs, strict=True):
        name = names[tensor]
        axis = find_channel_axis(layers[name], found[0].ndim)
        line = _keep_finite(fit(name, _measure_moments(expected[: len(found)], found[: len(expected)], axis)))
        lines[name] = line
        for index, value in enumerate(found):
            found[index] = value * _align(line.gain, axis, value.ndim) + _align(line.shift, axis, value.ndim)
    return lines


def find_kept(lowered: onnx.ModelProto, layers: Mapping[str, onnx.NodeProto]) -> dict[str, onnx.NodeProto]:
    """Return the layers whose operator stands in the int8 model too, between its pairs."""
    operators = {node.name: node.op_type for node in lowered.graph.node}
    return {name: node for name, node in layers.items() if operators.get(name) == node.op_type}


def find_returned(lowered: onnx.ModelProto, layers: Mapping[str, onnx.NodeProto]) -> dict[str, onnx.NodeProto]:
    """Return the layers that are kept, and those of several nodes of which the last has their name and returns their tensor."""
    kept, outputs = find_kept(lowered, layers), {node.name: list(node.output) for node in lowered.graph.node}
    return {
        name: node for name, node in layers.items() if name in kept or outputs.get(name, [])[:1] == [node.output[0]]
    }


def find_channel_axis(node: onnx.NodeProto, rank: int) -> int:
    """Return the axis of a layer's output on which its channels are."""
    return rank - 1 if node.op_type == "MatMul" else 1


def average_channels(values: NDArray[Any], axis: int) -> Channels:
    """Return the mean of each channel, (channels,)."""
    return np.asarray(values.mean(axis=_list_others(values, axis), dtype=np.float64))


def _name_outputs(graph: onnx.ModelProto, layers: Mapping[str, onnx.NodeProto]) -> dict[str, str]:
    return {node.name: str(node.output[0]) for node in graph.graph.node if node.name in layers}


def _find_outputs(graph: onnx.ModelProto, layers: Mapping[str, onnx.NodeProto]) -> list[str]:
    return list(_name_outputs(graph, layers).values())


def _measure_moments(expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]], axis: int) -> Moments:
    """Return the moments over samples and positions; every sample weighs alike."""
    sums = np.zeros((4, found[0].shape[axis]))
    for wanted, value in zip(expected, found, strict=True):
        pair = [np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1) for array in (wanted, value)]
        stride = max(1, pair[0].shape[1] // _POSITIONS)
        rows, columns = (array[:, ::stride].astype(np.float64) for array in pair)
        count = rows.shape[1]
        sums += [
            rows.mean(axis=1),
            columns.mean(axis=1),
            np.einsum("cp,cp->c", rows, columns) / count,
            np.einsum("cp,cp->c", columns, columns) / count,
        ]
    float_mean, int8_mean, product, square = sums / len(found)
    return Moments(float_mean, int8_mean, product - float_mean * int8_mean, square - int8_mean**2)


def _list_others(values: NDArray[Any], axis: int) -> tuple[int, ...]:
    return tuple(index for index in range(values.ndim) if index != axis)


def _keep_finite(line: Line) -> Line:
    finite = np.isfinite(line.gain) & np.isfinite(line.shift)
    return Line(np.where(finite, line.gain, np.float32(1)), np.where(finite, line.shift, np.float32(0)))


def _align(row: NDArray[np.float32], axis: int, rank: int) -> NDArray[np.float32]:
    shape = [1] * rank
    shape[axis] = -1
    return row.reshape(shape)
