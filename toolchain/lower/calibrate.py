"""The ranges of an int8 model by each calibration method, and the samples to judge them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import onnx

from toolchain.graph.learned_ranges import LearnedRanges, restore_pairs
from toolchain.lower.calibration import choose_ranges, load_method, observe_tensors
from toolchain.lower.calibration.observation import Observation
from toolchain.lower.infinite import explain_infinite
from toolchain.lower.learned import find_learned
from toolchain.lower.policy import Int8Policy
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.ranges import TensorRange
from toolchain.lower.request import StartSteps
from toolchain.lower.sensor_bytes import find_byte_ranges
from toolchain.lower.stored_weights import StoredWeights
from toolchain.lower.techniques.improve import count_learners
from toolchain.lower.trial import Arrays, Bench
from toolchain.project.recipe import QuantizeSection

# The search looks at fewer samples than the gate, and therefore asks for a lower bound (lower/trial.py).
_SEARCH_SAMPLES = 32

# Samples that the search did not see, to confirm what it found; and as many again for one that these refute, where there
# are enough to be more than a search sees.
_CONFIRM_SAMPLES = 96
_REFERENCES = _SEARCH_SAMPLES + 2 * _CONFIRM_SAMPLES


def calibrate_methods(
    model: onnx.ModelProto,
    plan: QdqPlan,
    feeds: Sequence[Arrays],
    options: QuantizeSection,
    policy: Int8Policy,
    start_steps: StartSteps,
    learned: LearnedRanges | None,
    weights: StoredWeights,
) -> tuple[dict[str, tuple[Mapping[str, TensorRange], Bench]], list[Bench], Mapping[str, Observation], dict[str, str]]:
    """Return the ranges by each method that may be taken with the bench to judge them by.

    Beside them: benches on samples that confirm, what was observed, and what is infinite.
    No method is the best for every model: clipping helps where outliers are noise, and hurts where they carry the
    answer. All of them read the same histograms, so that trying them costs one session each. A learned range is never
    replaced by a calibrated one.
    """
    known = {**find_byte_ranges(model, plan.tensors), **find_learned(model, plan.tensors, learned)}
    missing = [name for name in plan.tensors if name not in known]
    trained = restore_pairs(model, learned) if learned is not None else None
    found: dict[str, dict[str, TensorRange]] = {"learned": known}
    observations: Mapping[str, Observation] = {}
    returned: dict[int, Arrays] = {}

    def keep_outputs(sample: int, outputs: Arrays) -> None:
        if sample < _REFERENCES:
            returned[sample] = outputs

    if missing or not known:
        methods = [member.name for member in options.list_calibration_methods()]
        counting = any(load_method(method).COUNTS for method in methods)
        on_batch = start_steps("calibrate", len(feeds))
        observations = observe_tensors(
            model, missing, feeds, counting=counting, on_batch=on_batch, on_outputs=keep_outputs
        )
        found = {
            method: choose_ranges(observations, method=method, symmetric=policy.scheme.symmetric) | known
            for method in methods
        }
    empty = Bench(
        model=model,
        build=lambda _: model,
        feeds=(),
        references=(),
        trained=trained,
        kernels=policy.kernels,
        weights=weights,
    )
    references = [returned[sample] for sample in sorted(returned)]
    first, *others = (empty.on(feeds[part], references[part]) for part in _list_parts(len(feeds)))
    benches: dict[str, tuple[Mapping[str, TensorRange], Bench]] = {
        method: (ranges, replace(first, build=partial(policy.write, model, ranges))) for method, ranges in found.items()
    }
    return benches, others, observations, explain_infinite(model, plan, observations, policy.scheme)


def _list_parts(samples: int) -> list[slice]:
    """Return the samples that search, and those that confirm: once or twice, and never those that teach better numbers."""
    end = min(samples - count_learners(samples), _REFERENCES)
    middle = min(_SEARCH_SAMPLES + _CONFIRM_SAMPLES, end)
    parts = [slice(_SEARCH_SAMPLES)]
    if middle > _SEARCH_SAMPLES:
        parts.append(slice(_SEARCH_SAMPLES, middle))
    if end - middle >= _SEARCH_SAMPLES:
        parts.append(slice(middle, end))
    return parts
