"""Runs the float model and the int8 model side by side, and makes each layer of the one nearer to the other's in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.graph.session import HostSession
from toolchain.lower.each import count_cpus, do_each
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
    runs = [run_in_segments(graph, feeds, _find_outputs(graph, layers)) for graph in (model, lowered)]
    names = {output: name for name, output in _name_outputs(model, layers).items()}
    lines: dict[str, Line] = {}
    for (tensor, expected), (_, found) in zip(*runs, strict=True):
        name = names[tensor]
        axis = find_channel_axis(layers[name], found[0].ndim)
        line = _keep_finite(fit(name, _measure_moments(expected[: len(found)], found[: len(expected)], axis)))
        lines[name] = line
        _apply(line, found, axis)
    return lines


def center_layers(
    lowered: onnx.ModelProto,
    layers: Mapping[str, onnx.NodeProto],
    feeds: Sequence[Mapping[str, NDArray[Any]]],
    float_means: Mapping[str, Channels],
) -> dict[str, NDArray[np.float32]]:
    """Return what each layer's output is shifted by, (channels,), each found with all layers before it shifted already.

    float_means: of the float model's outputs, by the name of a layer. It is fit_layers where means are all that counts, and
    runs the int8 model alone.
    """
    layers = find_returned(lowered, layers)
    names = {output: name for name, output in _name_outputs(lowered, layers).items()}
    shifts: dict[str, NDArray[np.float32]] = {}
    for tensor, found in run_in_segments(lowered, feeds, _find_outputs(lowered, layers)):
        name = names[tensor]
        axis = find_channel_axis(layers[name], found[0].ndim)
        shift = (float_means[name] - _average(found, axis)).astype(np.float32)
        line = _keep_finite(Line(np.ones_like(shift), shift))
        shifts[name] = line.shift
        _apply(line, found, axis)
    return shifts


def average_outputs(
    model: onnx.ModelProto, layers: Mapping[str, onnx.NodeProto], feeds: Sequence[Mapping[str, NDArray[Any]]]
) -> dict[str, Channels]:
    """Return the mean of each channel of each layer's output, (channels,) each; every sample weighs alike."""
    outputs = _name_outputs(model, layers)

    def average(feed: Mapping[str, NDArray[Any]]) -> dict[str, Channels]:
        values = session.run(feed)
        return {
            name: _spread(values[output], find_channel_axis(layers[name], values[output].ndim)).mean(axis=1)
            for name, output in outputs.items()
        }

    session = HostSession(model, tensors=list(outputs.values()))
    rows = list(do_each(average, feeds, workers=count_cpus()))
    return {name: np.mean([row[name] for row in rows], axis=0) for name in outputs}


def _apply(line: Line, found: list[NDArray[Any]], axis: int) -> None:
    """Put each value's line in its place."""
    gain, shift = (_align(row, axis, found[0].ndim) for row in (line.gain, line.shift))
    for index, value in enumerate(do_each(lambda value: value * gain + shift, found, workers=count_cpus())):
        found[index] = value


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

    def average(wanted: NDArray[Any], value: NDArray[Any]) -> NDArray[np.float64]:
        rows, columns = _spread(wanted, axis), _spread(value, axis)
        products = [np.einsum("cp,cp->c", rows, columns), np.einsum("cp,cp->c", columns, columns)]
        return np.stack([rows.mean(axis=1), columns.mean(axis=1), *(sums / rows.shape[1] for sums in products)])

    total = np.zeros((4, found[0].shape[axis]))
    for row in do_each(average, expected, found, workers=count_cpus()):
        total += row
    float_mean, int8_mean, product, square = total / len(found)
    return Moments(float_mean, int8_mean, product - float_mean * int8_mean, square - int8_mean**2)


def _average(values: Sequence[NDArray[Any]], axis: int) -> Channels:
    rows = do_each(lambda value: _spread(value, axis).mean(axis=1), values, workers=count_cpus())
    return np.asarray(np.mean(list(rows), axis=0))


def _spread(value: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """Return positions of each channel that are spread evenly, (channels, positions)."""
    rows = np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)
    return np.asarray(rows[:, :: max(1, rows.shape[1] // _POSITIONS)], np.float64)


def _list_others(values: NDArray[Any], axis: int) -> tuple[int, ...]:
    return tuple(index for index in range(values.ndim) if index != axis)


def _keep_finite(line: Line) -> Line:
    finite = np.isfinite(line.gain) & np.isfinite(line.shift)
    return Line(np.where(finite, line.gain, np.float32(1)), np.where(finite, line.shift, np.float32(0)))


def _align(row: NDArray[np.float32], axis: int, rank: int) -> NDArray[np.float32]:
    shape = [1] * rank
    shape[axis] = -1
    return row.reshape(shape)
