"""How long each layer takes, from ONNX Runtime's own profile: a hint for the search, never a result.

The result is always the latency of the whole model, measured by toolchain/agent/measure/latency.py.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.agent.measure.onnxruntime_profile import strip_name
from toolchain.graph.session import profile_runs
from toolchain.graph.view import GraphView

# Enough for a median that ignores the first, slow runs.
_RUNS = 25


def time_layers(
    model: onnx.ModelProto, layers: Iterable[str], inputs: Mapping[str, NDArray[np.generic]], *, threads: int
) -> dict[str, float]:
    """Return the median time in microseconds of each layer that the profile still shows.

    A layer that the runtime merged into something unrecognizable is absent.
    """
    events = profile_runs(model, inputs, threads=threads, runs=_RUNS)
    aliases = name_layers(model, layers)
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        layer = aliases.get(strip_name(event["name"]))
        if layer is not None and event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[layer].append(float(event["dur"]))
    return {layer: statistics.median(durations) for layer, durations in times.items()}


def name_layers(model: onnx.ModelProto, layers: Iterable[str]) -> dict[str, str]:
    """Return the layer for every name that the runtime may call it by.

    The blocked (NCHWc) kernels are named after the tensor that leaves them, which is the activation's where
    one was fused.
    """
    view = GraphView.from_model(model)
    wanted = set(layers)
    aliases: dict[str, str] = {}
    for node in model.graph.node:
        if node.name not in wanted:
            continue
        consumer = view.only_consumer(node.output[0])
        fused = [consumer.output[0]] if consumer is not None else []
        aliases.update(dict.fromkeys([node.name, node.output[0], *fused], node.name))
    return aliases
