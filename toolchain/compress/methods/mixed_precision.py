"""Mixed precision: bits for each layer by measured sensitivity, under a budget of size or of accuracy.

The noise that a layer's quantization alone puts into the outputs is measured for every number of bits; noises of
layers add up nearly (Zhou et al. 2018, arXiv:1712.01048), so that the least noise under a size is a knapsack.
Which layers compute in int8 and which in float, by latency, is decided in lowering (toolchain/lower/speed.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from toolchain.compress.draft import Draft
from toolchain.compress.layers import LayerOptions, Weighted
from toolchain.compress.material import Material
from toolchain.compress.quantization.codebook import choose_codebook
from toolchain.compress.quantization.deployed import fold_and_select
from toolchain.compress.quantization.knapsack import Choice, choose_options
from toolchain.compress.quantization.linear_grid import Bits, choose_grid
from toolchain.compress.sensitivity import measure_noise, replaced_weights, run_batches
from toolchain.errors import usage

SUMMARY = "choose the bits of each layer by measured sensitivity, under a budget of size or accuracy"
TRAINS = False

# The search by accuracy halves the interval of sizes until it is this narrow, as a share of the float weights.
_SIZE_RATIO_STEP = 0.002

_FLOAT_BITS = 32


class Options(LayerOptions):
    """The budget, and what to choose from; exactly one of size_ratio and drop_max."""

    size_ratio: Annotated[float, Field(gt=0, lt=1)] | None = None
    """What the layers' weights may take, codebooks and scales included, as a share of them in float32."""
    drop_max: Annotated[float, Field(ge=0)] | None = None
    """How much worse the task metric on the calibration set may get, in its unit; the smallest model that holds it is taken."""
    bits: Annotated[list[Bits], Field(min_length=1)] = Field(default=[2, 3, 4, 6, 8])
    scheme: Literal["linear", "kmeans"] = "linear"
    """Symmetric linear grids per channel, or codebooks per layer."""
    samples: Annotated[int, Field(ge=1)] = 256
    """How many calibration samples the sensitivity is measured with."""

    @model_validator(mode="after")
    def _check_budget(self) -> Options:
        if (self.size_ratio is None) == (self.drop_max is None):
            msg = "exactly one of size_ratio and drop_max says the budget"
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class _Candidate:
    """A layer's weights at a number of bits."""

    bits: int
    weight: Tensor
    size_bits: int
    noise: float


def apply(draft: Draft, options: Options, material: Material) -> Collection[str]:
    """Measure every layer at every number of bits, choose under the budget, and quantize.

    Raises ToolchainError (exit 2) where the budget is out of reach.
    """
    layers = fold_and_select(draft, options, material, method="mixed_precision")
    candidates = _measure_candidates(draft, layers, options, material)
    if options.size_ratio is not None:
        chosen = _choose_by_size(layers, candidates, options.size_ratio)
        if chosen is None:
            least = sum(min(option.size_bits for option in row) for row in candidates) / _count_float_bits(layers)
            raise usage(
                "the budget of mixed_precision is out of reach",
                where=material.where,
                expected=f"size_ratio of at least {least:.4f} with bits {options.bits}",
                found=str(options.size_ratio),
                fix="allow more size or fewer bits",
            )
    else:
        chosen = _choose_by_drop(draft, layers, candidates, options, material)
    with torch.no_grad():
        for (name, layer), option in zip(layers.items(), chosen, strict=True):
            layer.weight.copy_(option.weight)
            draft.fix_weights(name, bits=option.bits)
    return layers


def _measure_candidates(
    draft: Draft, layers: dict[str, Weighted], options: Options, material: Material
) -> list[list[_Candidate]]:
    inputs = material.inputs(options.samples)
    reference = run_batches(draft.model, inputs)
    pruned = set(draft.list_zero_keepers())
    candidates: list[list[_Candidate]] = []
    for name, layer in layers.items():
        row: list[_Candidate] = []
        for bits in sorted(set(options.bits)):
            weight, overhead_bits = _quantize(layer.weight, bits, options.scheme, keep_zero=name in pruned)
            with replaced_weights(layers, {name: weight}):
                noise = measure_noise(run_batches(draft.model, inputs), reference)
            row.append(_Candidate(bits, weight, bits * weight.numel() + overhead_bits, noise))
        candidates.append(row)
    return candidates


def _quantize(weight: Tensor, bits: int, scheme: str, *, keep_zero: bool) -> tuple[Tensor, int]:
    """Return the quantized weight and the bits that its scales or codebook take."""
    if scheme == "kmeans":
        return choose_codebook(weight, bits=bits, keep_zero=keep_zero).expand(), 2**bits * _FLOAT_BITS
    grid = choose_grid(weight, bits=bits, symmetric=True, per_channel=True, clipping="mse")
    return grid.snap(weight.detach()), weight.shape[0] * _FLOAT_BITS


def _count_float_bits(layers: dict[str, Weighted]) -> int:
    return sum(layer.weight.numel() for layer in layers.values()) * _FLOAT_BITS


def _choose_by_size(
    layers: dict[str, Weighted], candidates: Sequence[Sequence[_Candidate]], size_ratio: float
) -> list[_Candidate] | None:
    items = [[Choice(size=option.size_bits, cost=option.noise) for option in row] for row in candidates]
    indices = choose_options(items, budget=size_ratio * _count_float_bits(layers))
    return None if indices is None else [row[index] for row, index in zip(candidates, indices, strict=True)]


def _choose_by_drop(
    draft: Draft,
    layers: dict[str, Weighted],
    candidates: Sequence[Sequence[_Candidate]],
    options: Options,
    material: Material,
) -> list[_Candidate]:
    """Return the choice of the least size, found by bisection, whose measured drop is allowed.

    Every size has one choice, that of the least noise; the one returned was measured, whether or not the drop rises
    steadily as the size falls.
    """
    float_bits = _count_float_bits(layers)
    before = material.measure_metric(draft.model)

    def measure_drop(choice: Sequence[_Candidate]) -> float:
        with replaced_weights(layers, {name: option.weight for name, option in zip(layers, choice, strict=True)}):
            return material.measure_drop(draft.model, before)

    best = [min(row, key=lambda option: option.noise) for row in candidates]
    drop = measure_drop(best)
    allowed = options.drop_max or 0.0
    if drop > allowed:
        raise usage(
            "the budget of mixed_precision is out of reach",
            where=material.where,
            expected=f"drop_max of at least {drop:.4f} with bits {options.bits}",
            found=str(allowed),
            fix="allow more bits or a larger drop",
        )
    low = 0.0
    high = sum(option.size_bits for option in best) / float_bits
    while high - low > _SIZE_RATIO_STEP:
        middle = (low + high) / 2
        choice = _choose_by_size(layers, candidates, middle)
        if choice is not None and measure_drop(choice) <= allowed:
            best, high = choice, middle
        else:
            low = middle
    return best
