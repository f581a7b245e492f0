"""Migrates what products gain from, and keeps it where the model as a whole keeps more on samples that nothing was chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import onnx
from numpy.typing import NDArray

from toolchain.graph.view import GraphView
from toolchain.lower.calibration import calibrate
from toolchain.lower.dynamic.plan import find_dynamic
from toolchain.lower.dynamic.write import write_dynamic
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan, Scheme
from toolchain.lower.smoothing.channels import observe_channels
from toolchain.lower.smoothing.factors import Factors, choose_factors
from toolchain.lower.smoothing.migrate import find_groups, migrate, read_weight
from toolchain.lower.trial import Bench

# To choose factors by, half of them for the error; others judge the model.
_CHOSEN_BY = 16
_JUDGED_BY = 16


@dataclass(frozen=True)
class Smoothing:
    """A float model that returns what it returned, and what was moved in it."""

    model: onnx.ModelProto
    factors: Mapping[str, Factors]
    """By the tensor whose channels were divided; empty where the model is as it was."""
    multiplied: tuple[str, ...] = ()
    """Tensors that are divided by a Mul of its own, not where they are made."""
    before_db: float | None = None
    """What the worst output surely keeps with products alone in int8, as the model was; None where there are none."""
    after_db: float | None = None

    def describe(self) -> dict[str, Any]:
        """Return what lowering.json says of it."""
        return {
            "before_db": self.before_db,
            "after_db": self.after_db,
            "tensors": [
                {
                    "tensor": tensor,
                    "alpha": factors.alpha,
                    "products_gain_db": round(factors.gain_db, 2),
                    "own_mul": tensor in self.multiplied,
                }
                for tensor, factors in self.factors.items()
            ],
        }


def smooth_outliers(
    model: onnx.ModelProto,
    feeds: Sequence[Mapping[str, NDArray[Any]]],
    scheme: Scheme,
    *,
    kernels: str | None,
    enough_db: float,
    static: Int8Policy | None = None,
) -> Smoothing:
    """Return the model with channels migrated where int8 gains by it, or as it is.

    kernels: the runtime that this machine judges on, as for any trial; None for exact sums. enough_db: a model of which
    products in int8 surely leave so much stays as it is. static: of a runtime whose
    products read pairs, which have one scale for all samples; None where each run has a scale of its own.
    """
    plain = Smoothing(model=model, factors={})
    chosen_by, judged_by = feeds[:_CHOSEN_BY], feeds[_CHOSEN_BY : _CHOSEN_BY + _JUDGED_BY]
    groups = find_groups(model)
    if not groups or not judged_by:
        return plain
    make = partial(_make_dynamic, scheme) if static is None else partial(_make_static, static, chosen_by)
    # The float model is the same however it is migrated: what is moved is a power of two.
    bench = Bench(model=model, build=lambda _: model, feeds=(), references=(), kernels=kernels).on(judged_by)

    def measure_db(made: onnx.ModelProto) -> float:
        return replace(bench, build=lambda _: made).measure_sqnr_db(frozenset())

    before_db = measure_db(make(model))
    if before_db >= enough_db:
        return replace(plain, before_db=before_db)
    view, factors = GraphView.from_model(model), {}
    for tensor, channels in observe_channels(model, list(groups), chosen_by).items():
        weights = [read_weight(view, product) for product in groups[tensor]]
        found = choose_factors(channels, weights, bits=scheme.weight_bits, static=None if static is None else scheme)
        if found is not None:
            factors[tensor] = found
    if not factors:
        return replace(plain, before_db=before_db)
    migrated, multiplied = migrate(model, groups, {tensor: found.values for tensor, found in factors.items()})
    after_db = measure_db(make(migrated))
    if after_db <= before_db:
        return Smoothing(model=model, factors={}, before_db=before_db, after_db=after_db)
    return Smoothing(model=migrated, factors=factors, multiplied=multiplied, before_db=before_db, after_db=after_db)


def _make_dynamic(scheme: Scheme, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every product dynamic that can be, and nothing else in int8."""
    return write_dynamic(model, QdqPlan(tuple(find_dynamic(model).values())), scheme)


def _make_static(
    policy: Int8Policy, feeds: Sequence[Mapping[str, NDArray[Any]]], model: onnx.ModelProto
) -> onnx.ModelProto:
    """Return the model with a pair in front of every product that could be dynamic, and nothing else in int8."""
    others = frozenset(policy.plan(model, frozenset()).weighted_layers) - find_dynamic(model).keys()
    plan = policy.plan(model, others)
    ranges = calibrate(model, plan.tensors, feeds, method="minmax", symmetric=policy.scheme.symmetric)
    return policy.limit(plan.tensors).write(model, ranges, others)
