"""What every task metric holds; a new one is found by its file, and its samples by the `draw` of its own test."""

import importlib
import types

import numpy as np
import pytest

from tests.contracts.claims import pair_claims
from tests.contracts.outside import use_members
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric, list_metrics, list_read_outputs
from toolchain.agent.measure.metrics import top1 as good
from toolchain.agent.measure.targets import Ragged, slice_target, take_target_rows
from toolchain.project.seams import METRICS

COUNT = 40
use_members(METRICS)


def find_test(name):
    return importlib.import_module(f"tests.agent.measure.metrics.test_{name}")


def find_draw(name):
    """Return what draws samples for a metric: a function of the metric's own test."""
    return find_test(name).draw


def sample(draw, *, perfect=False, seed=3):
    return draw(np.random.default_rng(seed), COUNT, perfect=perfect)


def measure(metric, batches):
    tally = metric.start()
    for outputs, targets in batches:
        tally.add(outputs, targets)
    return tally.compute()


def cut(outputs, targets, start, stop):
    return tuple({name: slice_target(rows, start, stop) for name, rows in part.items()} for part in (outputs, targets))


def take(outputs, targets, indices):
    return tuple({name: take_target_rows(rows, indices) for name, rows in part.items()} for part in (outputs, targets))


def replace_values(rows, change):
    """Return rows whose values are others."""
    return Ragged(values=change(rows.values), offsets=rows.offsets) if isinstance(rows, Ragged) else change(rows)


def list_arrays(outputs):
    return [
        array for rows in outputs.values() for array in (vars(rows).values() if isinstance(rows, Ragged) else [rows])
    ]


def refuse(call):
    with pytest.raises(ToolchainError) as caught:
        call()
    assert caught.value.fix, "an error without a fix"
    return caught.value


def check_declared(metric, draw):
    scale = metric.SCALE
    assert isinstance(scale.unit, str)
    assert scale.direction in ("higher", "lower")
    assert scale.worst != scale.best
    assert metric.TARGETS, "what does it compare with?"
    outputs, targets = sample(draw)
    assert list_read_outputs(metric, list(outputs))
    assert set(metric.TARGETS) <= set(targets)


def check_nothing_has_no_value(metric, draw):
    assert refuse(lambda: metric.start().compute()).code is ExitCode.INVALID


def check_batches_do_not_matter(metric, draw):
    outputs, targets = sample(draw)
    whole = measure(metric, [(outputs, targets)])
    for step in (1, 7, COUNT - 1):
        parts = [cut(outputs, targets, start, min(start + step, COUNT)) for start in range(0, COUNT, step)]
        assert measure(metric, parts) == pytest.approx(whole, abs=1e-12)


def check_order_does_not_matter(metric, draw):
    outputs, targets = sample(draw)
    order = np.random.default_rng(9).permutation(COUNT)
    assert measure(metric, [take(outputs, targets, order)]) == pytest.approx(
        measure(metric, [(outputs, targets)]), abs=1e-12
    )


def check_counts_are_copies_of_samples(metric, draw):
    outputs, targets = sample(draw)
    tally = metric.start()
    tally.add(outputs, targets)
    value = tally.compute()
    assert tally.compute(np.ones(COUNT, np.int64)) == pytest.approx(value, abs=1e-12)
    counts = np.random.default_rng(7).multinomial(COUNT, np.full(COUNT, 1 / COUNT))
    copies = take(outputs, targets, np.repeat(np.arange(COUNT), counts))
    assert tally.compute(counts) == pytest.approx(measure(metric, [copies]), abs=1e-12)
    assert tally.compute() == value, "a resample changed the tally"


def check_tallies_share_nothing(metric, draw):
    metric.start().add(*sample(draw))
    refuse(lambda: metric.start().compute())


def check_inputs_stay_as_they_are(metric, draw):
    outputs, targets = sample(draw)
    for array in list_arrays(outputs):
        array.setflags(write=False)
    measure(metric, [(outputs, targets)])


def check_values_are_in_range(metric, draw):
    for seed in range(5):
        value = measure(metric, [sample(draw, seed=seed)])
        assert isinstance(value, float)
        assert metric.SCALE.contains(value)


def check_perfect_is_best(metric, draw):
    perfect = measure(metric, [sample(draw, perfect=True)])
    assert perfect == metric.SCALE.best
    assert metric.SCALE.measure_drop(perfect, measure(metric, [sample(draw)])) > 0


def check_nan_is_not_better(metric, draw):
    outputs, targets = sample(draw, perfect=True)
    for name in list_read_outputs(metric, list(outputs)):
        if getattr(outputs[name], "values", outputs[name]).dtype.kind != "f":
            continue
        spoilt = {**outputs, name: replace_values(outputs[name], lambda array: np.full_like(array, np.nan))}
        try:
            value = measure(metric, [(spoilt, targets)])
        except ToolchainError:
            continue
        assert metric.SCALE.measure_drop(metric.SCALE.best, value) > 0


def check_missing_parts_are_refused(metric, draw):
    outputs, targets = sample(draw)
    for name in metric.TARGETS:
        others = {key: target for key, target in targets.items() if key != name}
        refuse(lambda others=others: metric.start().add(outputs, others))
    for name in list_read_outputs(metric, list(outputs)):
        rest = {key: array for key, array in outputs.items() if key != name}
        refuse(lambda rest=rest: metric.start().add(rest, targets))


def check_wrong_shapes_are_refused(metric, draw):
    outputs, targets = sample(draw)
    for name in list_read_outputs(metric, list(outputs)):
        for wrong in (
            slice_target(outputs[name], 0, COUNT - 1),
            np.zeros(()),
            np.zeros((COUNT, 2, 3, 5, 7), np.float32),
        ):
            refuse(lambda changed={**outputs, name: wrong}: metric.start().add(changed, targets))
    for name in metric.TARGETS:
        wrong = slice_target(targets[name], 0, COUNT - 1)
        refuse(lambda changed={**targets, name: wrong}: metric.start().add(outputs, changed))


NOT_KEPT = {
    (
        "recall_at_k",
        "check_counts_are_copies_of_samples",
    ): "a copy of a sample would be the nearest of its own identity",
}
CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize(("check", "name"), pair_claims(CHECKS, list_metrics(), exceptions=NOT_KEPT))
def test_a_metric_holds_the_contract(check, name):
    check(find_metric(name, getattr(find_test(name), "OPTIONS", None)), find_draw(name))


class Broken:
    """A tally of top-1 with something wrong in it."""

    def __init__(self, kind):
        self.kind = kind
        self.tally = good.start()
        self.batches = []

    def add(self, outputs, targets):
        if self.kind == "shares its sums":
            SHARED.append(outputs)
        if self.kind == "takes what it cannot read":
            scores, labels = next(iter(outputs.values()), np.zeros((1, 1))), targets.get("labels", np.zeros(1))
            if scores.ndim != 2 or len(scores) != len(labels):
                return
        if self.kind == "writes into its inputs":
            next(iter(outputs.values()))[:] = 0
        if self.kind == "counts NaN as right" and np.isnan(next(iter(outputs.values()))).all():
            outputs = {"scores": np.eye(7)[targets["labels"]]}
        tally = good.start()
        tally.add(outputs, targets)
        self.batches.append(tally.compute())
        self.first = getattr(self, "first", bool(next(iter(outputs.values()))[0, 0] > 0))
        self.tally.add(outputs, targets)

    def compute(self, counts=None):
        if self.kind == "has a value of nothing" and not self.batches:
            return 1.0
        if self.kind == "shares its sums" and SHARED:
            return 1.0
        value = self.tally.compute(None if self.kind == "forgets counts" else counts)
        return {
            "averages its batches": float(np.mean(self.batches)),
            "keeps the last batch": self.batches[-1],
            "depends on the first sample": value * (0.5 if self.first else 1.0),
            "is per cent": 100 * value,
            "is never perfect": 0.9 * value,
            "is no number": str(value),
        }.get(self.kind, value)


SHARED = []


def make_broken(kind, **changes):
    own = {"SCALE": good.SCALE, "OUTPUTS": (), "TARGETS": good.TARGETS, "start": lambda: Broken(kind), **changes}
    return types.SimpleNamespace(**own)


def fails(check, metric, draw):
    SHARED.clear()
    try:
        check(metric, draw)
    except (AssertionError, pytest.fail.Exception, ToolchainError, ValueError, TypeError):
        return True
    return False


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("has a value of nothing", check_nothing_has_no_value),
        ("averages its batches", check_batches_do_not_matter),
        ("keeps the last batch", check_batches_do_not_matter),
        ("depends on the first sample", check_order_does_not_matter),
        ("forgets counts", check_counts_are_copies_of_samples),
        ("shares its sums", check_tallies_share_nothing),
        ("writes into its inputs", check_inputs_stay_as_they_are),
        ("is per cent", check_values_are_in_range),
        ("is no number", check_values_are_in_range),
        ("is never perfect", check_perfect_is_best),
        ("counts NaN as right", check_nan_is_not_better),
        ("takes what it cannot read", check_missing_parts_are_refused),
        ("takes what it cannot read", check_wrong_shapes_are_refused),
    ],
)
def test_a_broken_metric_fails_the_suite(kind, check):
    assert fails(check, make_broken(kind), find_draw("top1"))


@pytest.mark.parametrize("changes", [{"TARGETS": ()}, {"TARGETS": ("boxes",)}, {"OUTPUTS": ("boxes",)}])
def test_a_metric_that_declares_what_it_does_not_read_fails_the_suite(changes):
    assert fails(check_declared, make_broken("good", **changes), find_draw("top1"))


def test_every_check_has_a_member_that_passes_it():
    control = make_broken("good")
    assert [check.__name__ for check in CHECKS if fails(check, control, find_draw("top1"))] == []


@pytest.mark.parametrize(
    ("name", "fix"), [("agrement", "write agreement"), ("../top1", ""), ("__init__", ""), ("x.y", "")]
)
def test_an_unknown_name_is_a_usage_error_that_lists_the_known(name, fix):
    with pytest.raises(ToolchainError) as caught:
        find_metric(name)
    assert caught.value.code is ExitCode.USAGE
    assert all(known in caught.value.expected for known in list_metrics())
    assert fix in caught.value.fix
