"""How much of each layer's result a lowered graph keeps: it explains the SQNR of the outputs, and decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import onnx
from numpy.typing import NDArray

from toolchain.graph.inner_tensors import find_common_tensors, measure_inner_parity
from toolchain.graph.view import read_names
from toolchain.lower.fp16_emulation import emulate_float16

_WEIGHT = ".weight"


def measure_layer_errors(
    model: onnx.ModelProto, lowered: onnx.ModelProto, feeds: Iterable[Mapping[str, NDArray[Any]]]
) -> dict[str, float]:
    """Return the SQNR in dB of what each node's first output is worth, by the node's name; float16 as a GPU rounds it.

    Errors of the layers before it are in it: the SQNR falls along the graph. A tensor that the lowered graph has no more
    is absent.
    """
    lowered = emulate_float16(lowered)
    found = measure_inner_parity(model, lowered, feeds, find_common_tensors(model, lowered))
    by_tensor = {parity.output: parity.sqnr_db for parity in found}
    return {node.name: by_tensor[node.output[0]] for node in model.graph.node if node.output[0] in by_tensor}


def name_modules(model: onnx.ModelProto) -> dict[str, str]:
    """Return the PyTorch module of each node whose weight still has the name that its module gave it."""
    weights = {tensor.name for tensor in model.graph.initializer if tensor.name.endswith(_WEIGHT)}
    modules: dict[str, str] = {}
    for node in model.graph.node:
        own = [name.removesuffix(_WEIGHT) for name in read_names(node) if name in weights]
        if len(own) == 1 and own[0] not in modules.values():
            modules[node.name] = own[0]
    return modules
