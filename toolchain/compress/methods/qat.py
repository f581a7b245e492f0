"""Quantization-aware training: the model learns with int8's rounding, and the ranges of its tensors with it.

Fake quantization stands where the int8 policy of ONNX Runtime puts its pairs (pair_places.py), batch norms are folded before, and the
learned ranges travel to the lowering (docs/compression/qat.md). Jacob et al. 2018, arXiv:1712.05877; learned ranges:
LSQ+, Bhalgat et al. 2020, arXiv:2004.09576.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor, fx, nn

from toolchain.compress.draft import Draft, find_module
from toolchain.compress.layers import Layer, LayerOptions, select_layers
from toolchain.compress.material import Material
from toolchain.compress.quantization.batch_norm import fold_batch_norms
from toolchain.compress.quantization.fake_quantization import LearnedRangeMarker, RoundedLayer, round_weight
from toolchain.compress.quantization.range_markers import insert_markers
from toolchain.compress.quantization.trace import trace
from toolchain.errors import usage
from toolchain.module.structure import LearnedRange

if TYPE_CHECKING:
    from toolchain.compress.quantization.pair_places import PairPlaces

SUMMARY = "train with the rounding of int8, and learn the range of every tensor; it is deployed as it was trained"
TRAINS = True

# Pictures that pass through the model at once while the first ranges are taken.
_BATCH = 32

_LISTED_MAX = 5  # names in a line that a person reads


class Options(LayerOptions):
    """What to round, and how finely."""

    weight_bits: int = Field(default=8, ge=2, le=8)
    """7 for x86 CPUs without VNNI, whose int8 products saturate at 16 bits."""
    samples: int = Field(default=128, ge=1)
    """Calibration samples that the first ranges are taken from."""


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Fold batch norms, train with fake quantization, leave rounded weights and learned ranges."""
    select_layers(draft.model, options, method="qat")  # a wrong name is an error before anything changes
    material.check_objective(draft.model, material.take_training())  # before the minutes of an export
    fold_batch_norms(draft, material, method="qat")
    selected = select_layers(draft.model, options, method="qat")
    graph = trace(draft.model, method="qat")
    _check_called(graph, selected, material)
    first = _observe(graph, material, options.samples)
    places = _ask_for_places(draft, graph, first, selected, material)
    layers = {name: layer for name, layer in selected.items() if name in places.layers}
    if not layers:
        return layers
    markers = {name: LearnedRangeMarker(*first[name]) for name in places.nodes}
    for name, layer in layers.items():
        graph.set_submodule(name, RoundedLayer(layer, options.weight_bits))
    insert_markers(graph, ((node, markers[node.name]) for node in list(graph.graph.nodes) if node.name in markers))
    material.fit(draft, material.require_finetune("qat"), name="qat", trained=graph)
    for name, layer in layers.items():
        layer.weight.data = round_weight(layer.weight.detach(), options.weight_bits)
        draft.fix_weights(name, bits=options.weight_bits)
    for name, marker in markers.items():
        low, high = marker.read_range()
        draft.edit(LearnedRange(node=name, low=low, high=high))
    return layers


def _ask_for_places(
    draft: Draft,
    graph: fx.GraphModule,
    first: Mapping[str, tuple[float, float]],
    selected: Collection[str],
    material: Material,
) -> PairPlaces:
    """Return where pairs will stand, the layers that the entry does not name left in float; say what has no place."""
    from toolchain.compress.quantization.pair_places import find_pair_places  # takes a second to import

    layers = [name for name, module in draft.model.named_modules() if isinstance(module, Layer)]
    others = [name for name in layers if name not in selected]
    batch = material.calibration.batch(0, min(2, len(material.calibration)))
    places = find_pair_places(draft.model, graph, first, batch, keep_float=others)
    if places.untraced:
        draft.note(_explain_untraced(draft.model, places.untraced))
    return places


class _Observer(fx.Interpreter):
    """Runs a graph and keeps what every float32 tensor holds: bounds around 0."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.bounds: dict[str, tuple[float, float]] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Return the node's value."""
        value = super().run_node(n)
        if isinstance(value, Tensor) and value.dtype == torch.float32 and value.numel() and n.op != "output":
            low, high = self.bounds.get(n.name, (0.0, 0.0))
            self.bounds[n.name] = min(low, value.min().item()), max(high, value.max().item())
        return value


def _observe(graph: fx.GraphModule, material: Material, count: int) -> dict[str, tuple[float, float]]:
    """Return the first range of every tensor of the graph: what the calibration samples bring to it."""
    observer = _Observer(graph.eval())
    samples = material.calibration
    count = min(count, len(samples))
    device = next(graph.parameters()).device
    with torch.no_grad():
        for start in range(0, count, _BATCH):
            batch = samples.batch(start, min(start + _BATCH, count))
            observer.run(*(torch.from_numpy(array).to(device) for array in batch.values()))
    # Of a tensor of zeros, any range will do.
    return {name: (low, high) if high > low else (0.0, 1.0) for name, (low, high) in observer.bounds.items()}


def _check_called(graph: fx.GraphModule, layers: Collection[str], material: Material) -> None:
    """Refuse layers that the traced graph does not call: what they compute cannot be rounded."""
    called = {str(node.target) for node in graph.graph.nodes if node.op == "call_module"}
    hidden = [name for name in layers if name not in called]
    if hidden:
        raise usage(
            f"qat cannot reach the layer {hidden[0]}",
            where=material.where,
            expected="a layer that the model's forward calls as a module",
            found="one inside of a module that torch.fx does not look into, such as MultiheadAttention",
            fix=f'add "{hidden[0]}" to skip, or write the module with plain layers',
        )


def _explain_untraced(model: nn.Module, names: Collection[str]) -> str:
    kinds = [f"{name} ({type(module).__name__})" if (module := find_module(model, name)) else name for name in names]
    listed = ", ".join(kinds[:_LISTED_MAX]) + (f" and {rest} more" if (rest := len(kinds) - _LISTED_MAX) > 0 else "")
    return f"qat learns no range inside of {listed}: int8 rounds a tensor there that the trace does not have, and calibrates it"
