"""Bias correction (Nagel et al. 2019, 4.2): rounding shifts the mean of a layer's output; its bias takes the shift back.

Two estimates. Sequential: layer by layer, the mean output of the float model less that of the int8 model in which all
layers before are corrected already; it takes back what activations lost as well. In one pass: the mean of what the
rounding of the weights alone does to the float model's own activations.
"""

from __future__ import annotations

import os
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
from toolchain.graph.view import GraphView
from toolchain.lower.adjustment import Adjustment
from toolchain.lower.techniques.lockstep import (
    Line,
    Moments,
    average_channels,
    find_channel_axis,
    find_kept,
    fit_layers,
)
from toolchain.lower.techniques.stored_weight import read_weight
from toolchain.lower.techniques.subject import Subject


def correct_sequentially(subject: Subject, adjustment: Adjustment) -> Adjustment:
    """Return the adjustment with each layer's bias corrected, all layers before it being so already."""
    layers = subject.find_correctable()
    if not layers:
        return adjustment
    plain = replace(adjustment, gains={}, shifts={})
    lines = fit_layers(
        subject.model, subject.lower(plain), layers, subject.learning, lambda _, moments: fit_shift(moments)
    )
    return replace(plain, shifts={name: line.shift for name, line in lines.items()})


def correct_in_one_pass(subject: Subject, adjustment: Adjustment) -> Adjustment:
    """Return the adjustment with each layer's bias corrected for the rounding of its own weights."""
    layers = subject.find_correctable()
    if not layers:
        return adjustment
    plain = replace(adjustment, gains={}, shifts={})
    return replace(plain, shifts=measure_lost(subject.model, subject.lower(plain), layers, subject.learning))


def fit_shift(moments: Moments) -> Line:
    """Return what brings the means together."""
    shift = (moments.float_mean - moments.int8_mean).astype(np.float32)
    return Line(np.ones_like(shift), shift)


def measure_lost(
    model: onnx.ModelProto,
    lowered: onnx.ModelProto,
    layers: Mapping[str, onnx.NodeProto],
    feeds: Sequence[Mapping[str, NDArray[Any]]],
) -> dict[str, NDArray[np.float32]]:
    """Return the mean of what each layer's output loses by the rounding of its weight alone, (channels,) each."""
    layers = find_kept(lowered, layers)
    view, names = GraphView.from_model(model), OnnxNames.from_model(model)
    rounded = {node.name: str(node.input[1]) for node in lowered.graph.node if node.name in layers}
    lowered_view = GraphView.from_model(lowered)
    probed = copy_without_weights(model)
    probed.graph.initializer.extend(model.graph.initializer)
    probes: dict[str, str] = {}
    for name, node in layers.items():
        lost, output = names.derive(name, "lost"), names.derive(name, "lost", "output")
        difference = read_weight(view, node.input[1]) - read_weight(lowered_view, rounded[name])
        probed.graph.initializer.append(numpy_helper.from_array(difference, lost))
        probe = helper.make_node(node.op_type, [node.input[0], lost], [output], names.derive(name, "probe"))
        probe.attribute.extend(node.attribute)
        probed.graph.node.append(probe)
        probes[name] = output
    session = HostSession(probed, threads=os.cpu_count() or 1, tensors=list(probes.values()))
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in probes}
    for feed in feeds:
        outputs = session.run(feed)
        for name, output in probes.items():
            value = outputs[output]
            rows[name].append(average_channels(value, find_channel_axis(layers[name], value.ndim)))
    means = {name: np.mean(row, axis=0) for name, row in rows.items()}
    return {name: np.where(np.isfinite(mean), mean, 0.0).astype(np.float32) for name, mean in means.items()}
