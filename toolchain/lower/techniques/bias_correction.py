"""Bias correction (Nagel et al. 2019, 4.2): rounding shifts the mean of a layer's output; its bias takes the shift back.

Two estimates. Sequential: layer by layer, the mean output of the float model less that of the int8 model in which all
layers before are corrected already; it takes back what activations lost as well. In one pass: the mean of what the
rounding of the weights alone does to the float model's own activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from toolchain.graph.names import OnnxNames
from toolchain.graph.session import HostSession
from toolchain.graph.set_aside import copy_without_weights
from toolchain.graph.view import GraphView, attribute_int
from toolchain.lower.adjustment import Adjustment
from toolchain.lower.each import count_cpus, do_each
from toolchain.lower.techniques.lockstep import average_channels, center_layers, find_kept, find_returned
from toolchain.lower.techniques.stored_weight import read_weight
from toolchain.lower.techniques.subject import Subject


def correct_sequentially(subject: Subject, adjustment: Adjustment) -> Adjustment:
    """Return the adjustment with each layer's bias corrected, all layers before it being so already."""
    layers = subject.find_correctable()
    if not layers:
        return adjustment
    plain = replace(adjustment, gains={}, shifts={})
    lowered = subject.lower(plain)
    returned = find_returned(lowered, layers)
    shifts = center_layers(lowered, returned, subject.learning, subject.average_float(returned))
    return replace(plain, shifts=shifts)


def correct_in_one_pass(subject: Subject, adjustment: Adjustment) -> Adjustment:
    """Return the adjustment with each layer's bias corrected for the rounding of its own weights."""
    layers = subject.find_correctable()
    if not layers:
        return adjustment
    plain = replace(adjustment, gains={}, shifts={})
    return replace(plain, shifts=measure_lost(subject.model, subject.lower(plain), layers, subject.learning))


def measure_lost(
    model: onnx.ModelProto,
    lowered: onnx.ModelProto,
    layers: Mapping[str, onnx.NodeProto],
    feeds: Sequence[Mapping[str, NDArray[Any]]],
) -> dict[str, NDArray[np.float32]]:
    """Return the mean of what each layer's output loses by the rounding of its weight alone, (channels,) each."""
    layers = find_kept(lowered, layers)
    view, lowered_view = GraphView.from_model(model), GraphView.from_model(lowered)
    rounded = {node.name: str(node.input[1]) for node in lowered.graph.node if node.name in layers}
    differences = {
        name: read_weight(view, node.input[1]) - read_weight(lowered_view, rounded[name])
        for name, node in layers.items()
    }
    convolutions = {name: node for name, node in layers.items() if node.op_type == "Conv"}
    probed, probes = _add_probes(model, convolutions, differences)
    # What a product loses on average, it loses of the average row.
    read = {name: str(node.input[0]) for name, node in layers.items() if name not in probes}

    def average(feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        values = session.run(feed)
        rows = {name: average_channels(values[tensor], values[tensor].ndim - 1) for name, tensor in read.items()}
        return rows | {name: average_channels(values[output], 1) for name, output in probes.items()}

    session = HostSession(probed, tensors=list(dict.fromkeys([*probes.values(), *read.values()])))
    averages = list(do_each(average, feeds, workers=count_cpus()))
    means = {name: np.mean([row[name] for row in averages], axis=0) for name in layers}
    for name in read:
        turned = attribute_int(layers[name], "transB", 0)
        means[name] = differences[name] @ means[name] if turned else means[name] @ differences[name]
    return {name: np.where(np.isfinite(mean), mean, 0.0).astype(np.float32) for name, mean in means.items()}


def _add_probes(
    model: onnx.ModelProto, layers: Mapping[str, onnx.NodeProto], weights: Mapping[str, NDArray[np.float32]]
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return the model with each of these layers a second time, with these weights, and what each second one returns."""
    if not layers:
        return model, {}
    names, probed = OnnxNames.from_model(model), copy_without_weights(model)
    probed.graph.initializer.extend(model.graph.initializer)
    probes: dict[str, str] = {}
    for name, node in layers.items():
        lost, output = names.derive(name, "lost"), names.derive(name, "lost", "output")
        probed.graph.initializer.append(numpy_helper.from_array(weights[name], lost))
        probe = helper.make_node(node.op_type, [node.input[0], lost], [output], names.derive(name, "probe"))
        probe.attribute.extend(node.attribute)
        probed.graph.node.append(probe)
        probes[name] = output
    return probed, probes
