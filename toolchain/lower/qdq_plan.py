"""What a policy decides: which nodes compute in int8, which tensors stand between pairs, and how numbers become integers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from toolchain.lower.affine import ActivationType


@dataclass(frozen=True)
class WeightInput:
    """The constant input of a node that is stored as int8, and its bias, which a scheme may store as int32."""

    index: int
    axis: int
    """The axis of the output channels: one scale for each index on it."""
    bias_index: int | None
    source: str
    """The initializer that holds it; other nodes may read it too."""
    perm: tuple[int, ...] = ()
    """How a Transpose between initializer and node permutes its axes; empty where there is none."""
    is_depthwise: bool = False
    """Each output channel of a Conv reads one input channel, its own."""

    @property
    def stored_axis(self) -> int:
        """The axis of the output channels in the initializer."""
        return self.perm[self.axis] if self.perm else self.axis


@dataclass(frozen=True)
class QuantizedNode:
    """One node that computes in int8."""

    name: str
    op_type: str
    activations: tuple[str, ...]
    """Tensors that it reads through Q/DQ."""
    weight: WeightInput | None
    output: str | None
    """The tensor that leaves it through Q/DQ (behind an absorbed Relu or Clip); None leaves it in float."""
    shares_range: bool = False
    """Its output has the scale and zero point of its input, because it only moves or selects values."""
    scale: Literal["static", "dynamic"] = "static"
    """Whether its activations have the scale of calibration, or in each run one of their own and no pair."""


@dataclass(frozen=True)
class QdqPlan:
    """The nodes that compute in int8, in graph order."""

    nodes: tuple[QuantizedNode, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors whose range calibration must find, without repetition."""
        nodes = [node for node in self.nodes if node.scale == "static"]
        names = [name for node in nodes for name in (*node.activations, node.output) if name]
        return tuple(dict.fromkeys(names))

    @property
    def weighted_layers(self) -> tuple[str, ...]:
        """The names of the nodes that carry weights."""
        return tuple(node.name for node in self.nodes if node.weight is not None)

    @property
    def deciding_layers(self) -> Mapping[str, tuple[str, ...]]:
        """The layers that a search decides about, each with all that share its weight: they go to float together."""
        sharing: dict[str, list[str]] = defaultdict(list)
        for node in self.nodes:
            if node.weight is not None:
                sharing[node.weight.source].append(node.name)
        return {names[0]: tuple(names) for names in sharing.values()}


@dataclass(frozen=True)
class Scheme:
    """How numbers become integers on one runtime and CPU."""

    activation_type: ActivationType
    symmetric: bool
    weight_bits: int
    reason: str
    int32_bias: bool = True
    """Store the bias of a weighted node as int32; False leaves it in float."""
    float16_scales: bool = False
    """Every scale is also a float16 number, so that a graph in float16 can state it without rounding."""
    folds_constants: bool = True
    """The runtime computes nodes of constants when it opens the model, but no DequantizeLinear; False: the other way."""
    saturates: bool = False
    """The CPU adds the products of two neighbours in 16 bits: weights of 8 bits need safe scales (lower/safe_scales.py)."""
    trained_weight_bits: int | None = None
    """A weight that is on a grid of so many bits keeps it; None where no training put it there."""
