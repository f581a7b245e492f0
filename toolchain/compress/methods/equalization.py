"""Cross-layer equalization (Nagel et al. 2019, arXiv:1906.04721, section 4.1): the channels of a layer get like ranges.

Between two layers with a Relu or nothing, channel i may be divided by any s > 0 where it leaves the first and multiplied
where it enters the second: relu(x / s) * s = relu(x). With r1 and r2 the largest magnitudes of the channel's weights in
both, s = sqrt(r1 / r2) makes them equal, and per-tensor quantization then serves every channel as well as it can.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, fx, nn

from toolchain.compress.draft import Draft
from toolchain.compress.equality import must_stay_equal
from toolchain.compress.layers import Layer, LayerOptions, list_ties, select_layers
from toolchain.compress.material import Material
from toolchain.compress.quantization.batch_norm import fold_batch_norms
from toolchain.compress.quantization.trace import trace
from toolchain.errors import usage

SUMMARY = "even out the ranges of channels between two layers, without changing what the model computes"
TRAINS = False

# A scale nearer to 1 than this moves a range by less than the rounding of float32 matters to 8 bits.
_CONVERGED = 1e-4

_SILENT = (nn.Identity, nn.Dropout, nn.Dropout2d)
_RELU_FUNCTIONS = (torch.relu, F.relu)
_RELU_METHODS = ("relu", "relu_")


class Options(LayerOptions):
    """Which pairs, and what to do about Relu6."""

    relu6: Literal["refuse", "skip", "unbound"] = "refuse"
    """What to do with a pair that has a Relu6 between, which cannot be scaled: make it a Relu ("unbound"; where values
    reached 6 the model computes something else, and mobile nets hardly do), leave the pair alone, or stop."""
    iterations: int = Field(default=20, ge=1)
    """Passes over all pairs at most: the layers of a chain take part in two pairs, which converge together."""


@dataclass(frozen=True)
class _Pair:
    first: str
    second: str
    relu6: str | None
    """The module of a Relu6 between them."""


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Fold batch norms, then equalize every pair of neighbours until nothing moves."""
    select_layers(draft.model, options, method="equalization")
    fold_batch_norms(draft, material, method="equalization")
    layers = select_layers(draft.model, options, method="equalization")
    shared = {name.rpartition(".")[0] for tie in list_ties(draft.model) for name in tie}
    own = {name: layer for name, layer in layers.items() if name not in shared}
    pairs = _find_pairs(trace(draft.model, method="equalization"), own)
    bounded = [pair for pair in pairs if pair.relu6 is not None]
    if bounded and options.relu6 == "refuse":
        raise usage(
            f"equalization cannot scale the Relu6 {bounded[0].relu6}",
            where=material.where,
            expected='a Relu, or relu6 = "unbound" to make it one, or relu6 = "skip" to leave such pairs alone',
            found=f"a Relu6 between {bounded[0].first} and {bounded[0].second}",
            fix="say in the entry what to do with Relu6",
        )
    if options.relu6 == "skip":
        pairs = [pair for pair in pairs if pair.relu6 is None]
    if not pairs:
        raise usage(
            "equalization finds no pair of layers",
            where=material.where,
            expected="two convolutions or linear layers with a Relu or nothing between, and no other reader",
            found=f"{next(iter(layers))} and {len(layers) - 1} more, none of them such a pair",
            fix="leave this method out of the recipe",
        )
    for pair in pairs:
        if pair.relu6 is not None:
            draft.unbound(pair.relu6)
    with must_stay_equal(draft, material, step="equalization: scaling the channels between layers"), torch.no_grad():
        for _ in range(options.iterations):
            moved = [equalize_pair(layers[pair.first], layers[pair.second]) for pair in pairs]
            if max(moved) < _CONVERGED:
                break
    return {name for pair in pairs for name in (pair.first, pair.second)}


def equalize_pair(first: Layer, second: Layer) -> float:
    """Scale the channels between two layers in place; return how far the scale farthest from 1 was from it.

    A channel of zero weights on one side stays: nothing is gained there.
    """
    out_ranges = first.weight.abs().flatten(1).amax(dim=1)
    in_ranges = _group(second).abs().amax(dim=(1, 3)).flatten()
    scales = torch.sqrt(out_ranges / in_ranges)
    scales = torch.where((out_ranges > 0) & (in_ranges > 0), scales, torch.ones_like(scales))
    first.weight.div_(scales.reshape(-1, *[1] * (first.weight.ndim - 1)))
    if first.bias is not None:
        first.bias.div_(scales)
    scaled = _group(second) * scales.reshape(_group(second).shape[0], 1, -1, 1)
    second.weight.copy_(scaled.reshape(second.weight.shape))
    return float((scales - 1).abs().max())


def _group(layer: Layer) -> Tensor:
    """Return the weight as `(groups, out / groups, in / groups, rest)`."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    return layer.weight.reshape(groups, -1, layer.weight.shape[1], layer.weight[0, 0].numel())


def _find_pairs(graph: fx.GraphModule, layers: dict[str, Layer]) -> list[_Pair]:
    """Return the pairs of layers of which only a Relu, a Relu6 or nothing stands between, each called once."""
    targets = [node.target for node in graph.graph.nodes if node.op == "call_module"]
    pairs: list[_Pair] = []
    for node in graph.graph.nodes:
        if node.op != "call_module" or node.target not in layers:
            continue
        relu6: str | None = None
        reader = _only_reader(node)
        while reader is not None and (kind := _read_kind(graph, reader)) is not None:
            if kind == "relu6":
                relu6 = str(reader.target)
            reader = _only_reader(reader)
        if reader is None or reader.op != "call_module" or reader.target not in layers:
            continue
        first, second = str(node.target), str(reader.target)
        if targets.count(first) == targets.count(second) == 1 and _fit(layers[first], layers[second]):
            pairs.append(_Pair(first, second, relu6))
    return pairs


def _only_reader(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _read_kind(graph: fx.GraphModule, node: fx.Node) -> str | None:
    """Return what a node between two layers is, None where values cannot be scaled through it."""
    if node.op == "call_module":
        module = graph.get_submodule(str(node.target))
        if isinstance(module, nn.ReLU6):
            return "relu6"
        return "relu" if isinstance(module, (nn.ReLU, *_SILENT)) else None
    plain = node.target in _RELU_FUNCTIONS if node.op == "call_function" else node.target in _RELU_METHODS
    return "relu" if plain else None


def _fit(first: Layer, second: Layer) -> bool:
    """Return whether the channels of one are those of the other, one to one."""
    channels = second.in_channels if isinstance(second, nn.Conv2d) else second.in_features
    return first.weight.shape[0] == channels and isinstance(first, nn.Conv2d) == isinstance(second, nn.Conv2d)
