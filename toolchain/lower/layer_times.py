"""How long each layer takes, from the runtime's own profile: a hint for the search, never a result.

The result is always the latency of the whole model, measured by toolchain/agent/measure/latency.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from toolchain.graph.view import GraphView
from toolchain.project.members import find_member, load_member
from toolchain.project.seams import LOWERINGS

# What follows the MatMulInteger of a product (lower/dynamic/write.py), each reading it first.
_ENDS_PRODUCT = frozenset({"Add", "Mul", "Cast"})


def time_layers(
    model: onnx.ModelProto,
    layers: Iterable[str],
    inputs: Mapping[str, NDArray[np.generic]],
    *,
    runtime: str,
    threads: int,
) -> tuple[dict[str, float], float | None]:
    """Return the usual time in microseconds of each layer that the runtime's profile still shows, and of a whole run.

    A layer that the runtime merged into something unrecognizable is absent. The whole is None where the profile of a runtime does not
    show every kernel (PROFILES_ALL of its module).
    """
    lowering = load_member(find_member(LOWERINGS, runtime))
    times: Mapping[str, float] = lowering.profile_layers(model, inputs, threads=threads)
    aliases = name_layers(model, layers)
    whole_us = sum(times.values()) if getattr(lowering, "PROFILES_ALL", False) else None
    return {aliases[name]: time_us for name, time_us in times.items() if name in aliases}, whole_us


def name_layers(model: onnx.ModelProto, layers: Iterable[str]) -> dict[str, str]:
    """Return the layer for every name that the runtime may call it by.

    Some kernels are named after the tensor that leaves them, which is the activation's where one was fused: those of ONNX
    Runtime in the blocked layout (NCHWc), and OpenVINO's before an output of the graph. A product with dynamic scales is
    several nodes until a runtime fuses them, of which the last has the layer's name.
    """
    view = GraphView.from_model(model)
    wanted = set(layers)
    aliases: dict[str, str] = {}
    for node in model.graph.node:
        if node.name not in wanted:
            continue
        consumer = view.only_consumer(node.output[0])
        fused = [consumer.output[0]] if consumer is not None else []
        aliases.update(dict.fromkeys([node.name, node.output[0], *fused, *_list_inside(view, node)], node.name))
    return aliases


def _list_inside(view: GraphView, node: onnx.NodeProto) -> list[str]:
    """Return the names of the nodes that a dynamic product ends with: its kernel has that of the MatMulInteger."""
    inside: list[str] = []
    while node.op_type in _ENDS_PRODUCT and (producer := view.producers.get(node.input[0])) is not None:
        inside.append(producer.name)
        if producer.op_type == "MatMulInteger":
            return inside
        node = producer
    return []
