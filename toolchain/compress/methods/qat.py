"""Quantization-aware training: the model learns with int8's rounding, and the ranges of its tensors with it.

Fake quantization stands where the int8 policy of the deployment puts its pairs, batch norms are folded before, and the
learned ranges travel to the lowering (docs/compression/qat.md). Jacob et al. 2018, arXiv:1712.05877; learned ranges:
LSQ+, Bhalgat et al. 2020, arXiv:2004.09576.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, fx

from toolchain.compress.draft import Draft
from toolchain.compress.layers import Layer, LayerOptions, select_layers
from toolchain.compress.material import Material
from toolchain.compress.quantization.batch_norm import fold_batch_norms
from toolchain.compress.quantization.fake_quantization import LearnedRangeMarker, RoundedLayer, round_weight
from toolchain.compress.quantization.placement import find_quantized
from toolchain.compress.quantization.range_markers import insert_markers
from toolchain.compress.quantization.trace import trace
from toolchain.errors import usage
from toolchain.module.structure import LearnedRange

SUMMARY = "train with the rounding of int8, and learn the range of every tensor; it is deployed as it was trained"
TRAINS = True

# Pictures that pass through the model at once while the first ranges are taken.
_BATCH = 32


class Options(LayerOptions):
    """What to round, and how finely."""

    weight_bits: int = Field(default=8, ge=2, le=8)
    """7 for x86 CPUs without VNNI, whose int8 products saturate at 16 bits."""
    samples: int = Field(default=128, ge=1)
    """Calibration samples that the first ranges are taken from."""


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Fold batch norms, train with fake quantization, leave rounded weights and learned ranges."""
    select_layers(draft.model, options, method="qat")  # a wrong name is an error before anything changes
    fold_batch_norms(draft, material, method="qat")
    layers = select_layers(draft.model, options, method="qat")
    graph = trace(draft.model, method="qat")
    first = _observe(graph, material, options.samples)
    nodes, called = find_quantized(graph, layers, {node: seen.shape for node, seen in first.items()})
    _check_called(layers, called, material)
    markers = {node: LearnedRangeMarker(*_start(first[node])) for node in nodes}
    for name, layer in layers.items():
        graph.set_submodule(name, RoundedLayer(layer, options.weight_bits))
    insert_markers(graph, markers.items())
    material.fit(draft, material.require_finetune("qat"), name="qat", trained=graph)
    for name, layer in layers.items():
        layer.weight.data = round_weight(layer.weight.detach(), options.weight_bits)
        draft.fix_weights(name, bits=options.weight_bits)
    for node, marker in markers.items():
        low, high = marker.read_range()
        draft.edit(LearnedRange(node=node.name, low=low, high=high))
    return layers


@dataclass(frozen=True)
class _Seen:
    """What a tensor held: bounds around 0, and its shape in the last batch."""

    low: float = 0.0
    high: float = 0.0
    shape: tuple[int, ...] = ()


class _Observer(fx.Interpreter):
    """Runs a graph and keeps what every float tensor holds."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.seen: dict[fx.Node, _Seen] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Return the node's value."""
        value = super().run_node(n)
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel():
            seen = self.seen.get(n, _Seen())
            self.seen[n] = _Seen(
                min(seen.low, value.min().item()), max(seen.high, value.max().item()), tuple(value.shape)
            )
        return value


def _observe(graph: fx.GraphModule, material: Material, count: int) -> dict[fx.Node, _Seen]:
    """Return what every tensor of the graph holds over the calibration samples."""
    observer = _Observer(graph.eval())
    samples = material.calibration
    count = min(count, len(samples))
    device = next(graph.parameters()).device
    with torch.no_grad():
        for start in range(0, count, _BATCH):
            batch = samples.batch(start, min(start + _BATCH, count))
            observer.run(*(torch.from_numpy(array).to(device) for array in batch.values()))
    return observer.seen


def _start(seen: _Seen) -> tuple[float, float]:
    """Return the first range: what was seen; of a tensor of zeros, any will do."""
    return (seen.low, seen.high) if seen.high > seen.low else (0.0, 1.0)


def _check_called(layers: dict[str, Layer], called: set[str], material: Material) -> None:
    """Refuse layers that the traced graph does not call: what they compute cannot be rounded."""
    hidden = [name for name in layers if name not in called]
    if hidden:
        raise usage(
            f"qat cannot reach the layer {hidden[0]}",
            where=material.where,
            expected="a layer that the model's forward calls as a module",
            found="one inside of a module that torch.fx does not look into, such as MultiheadAttention",
            fix=f'add "{hidden[0]}" to skip, or write the module with plain layers',
        )
