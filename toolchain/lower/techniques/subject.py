"""What a technique works on: a float model, what makes it int8, samples to learn from and others to be judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import onnx

from toolchain.graph.view import GraphView
from toolchain.lower.adjustment import Adjustment, find_bias_place, is_own_weight
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.ranges import TensorRange
from toolchain.lower.techniques.lockstep import Channels, average_outputs
from toolchain.lower.trial import Arrays, Bench


@dataclass(frozen=True)
class Subject:
    """A model to be improved, with these layers in float."""

    bench: Bench
    """On the samples that judge; it builds without an adjustment."""
    policy: Int8Policy
    plan: QdqPlan
    ranges: Mapping[str, TensorRange]
    learning: Sequence[Arrays]
    """Samples that teach, one run each; none of them judges."""
    keep_float: frozenset[str]
    float_means: dict[str, Channels] = field(default_factory=dict, compare=False)
    """What each layer of the float model returns on average on the samples that teach, noted by whoever ran it."""

    @property
    def model(self) -> onnx.ModelProto:
        """The float model."""
        return self.bench.model

    def find_correctable(self) -> dict[str, onnx.NodeProto]:
        """Return the int8 layers that have a bias of their own, or can have one, by name in graph order."""
        view, planned = GraphView.from_model(self.model), set(self.plan.weighted_layers)
        return {
            node.name: node
            for node in self.model.graph.node
            if node.name in planned and find_bias_place(view, node) is not None
        }

    def list_unshared(self) -> frozenset[str]:
        """Return the int8 layers whose weight nobody else reads."""
        view = GraphView.from_model(self.model)
        return frozenset(
            node.name for node in self.plan.nodes if node.weight is not None and is_own_weight(view, node.weight)
        )

    def lower(self, adjustment: Adjustment) -> onnx.ModelProto:
        """Return the int8 model with an adjustment."""
        return self.policy.write(self.model, self.ranges, self.keep_float, adjustment=adjustment)

    def average_float(self, layers: Mapping[str, onnx.NodeProto]) -> Mapping[str, Channels]:
        """Return the mean of each channel of the float layers' outputs on the samples that teach."""
        unknown = {name: node for name, node in layers.items() if name not in self.float_means}
        if unknown:
            self.float_means.update(average_outputs(self.model, unknown, self.learning))
        return self.float_means

    def adjust(self, adjustment: Adjustment) -> Bench:
        """Return the bench that builds with an adjustment."""
        return replace(self.bench, build=partial(self.policy.write, self.model, self.ranges, adjustment=adjustment))

    def measure_db(self, adjustment: Adjustment) -> float:
        """Return what the worst output surely keeps with an adjustment, in dB, on the samples that judge."""
        return self.adjust(adjustment).measure_sqnr_db(self.keep_float)
