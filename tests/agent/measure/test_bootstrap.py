import math
import types

import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure import bootstrap
from toolchain.agent.measure.bootstrap import estimate_drop
from toolchain.agent.measure.checked_metric import CheckedMetric
from toolchain.agent.measure.metrics import find_metric
from toolchain.agent.measure.scale import FRACTION, Scale


def tally(right):
    """Return a tally of top1 over samples that are right or not."""
    filled = find_metric("top1").start()
    scores = np.where(np.asarray(right)[:, None], [[0.0, 1.0]], [[1.0, 0.0]])
    filled.add({"scores": scores}, {"labels": np.ones(len(scores), np.int64)})
    return filled


def estimate(reference, deployed):
    return estimate_drop(tally(reference), tally(deployed), FRACTION)


def test_the_drop_lies_between_its_bounds_and_is_the_difference_of_the_metrics():
    found = estimate([1] * 90 + [0] * 10, [1] * 85 + [0] * 15)
    assert found.drop == pytest.approx(0.05)
    assert found.lower <= found.drop <= found.upper
    assert found.samples == 100


def test_equal_answers_have_no_drop_and_the_bound_of_what_so_few_samples_prove():
    for samples in (10, 100, 1000):
        found = estimate([1, 0] * (samples // 2), [1, 0] * (samples // 2))
        assert (found.drop, round(found.lower * samples), round(found.upper * samples)) == (0.0, -4, 4)


def test_the_same_samples_have_the_same_interval_and_their_order_hardly_matters():
    generator = np.random.default_rng(0)
    reference = generator.random(400) < 0.9
    deployed = reference & (generator.random(400) < 0.95)
    found = estimate(reference, deployed)
    assert estimate(reference, deployed) == found
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(400)
        other = estimate(reference[order], deployed[order])
        assert other.drop == found.drop
        # The bounds of another order are another 2000 draws: they wander by some samples of 400.
        assert abs(other.upper - found.upper) <= 3 / 400
        assert abs(other.lower - found.lower) <= 3 / 400


@pytest.mark.parametrize(("lost", "won"), [(0.003, 0.0), (0.02, 0.01), (0.1, 0.1)])
def test_the_true_drop_is_under_the_bound_in_99_of_100_evaluations(monkeypatch, lost, won):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 500)
    generator = np.random.default_rng(5)
    rounds, samples, over, under = 150, 150, 0, 0
    for _ in range(rounds):
        drawn = generator.random(samples)
        reference, deployed = drawn >= won, (drawn < won) | (drawn >= won + lost)
        found = estimate(reference, deployed)
        over += found.upper < lost - won
        under += found.lower > lost - won
    # Of 150 with probability 0.01 each, 6 or fewer fail with probability 0.999.
    assert over <= 6
    assert under <= 6


def test_a_worse_model_is_seen_with_enough_samples():
    assert estimate([1] * 1000, [1] * 900 + [0] * 100).lower > 0.05


def test_more_samples_say_more():
    widths = []
    for count in (1, 16):
        found = estimate([1] * (40 * count), ([1] * 36 + [0] * 4) * count)
        widths.append(found.upper - found.lower)
    assert widths[1] < widths[0] / 3


def test_models_of_different_samples_are_refused():
    with pytest.raises(ToolchainError) as caught:
        estimate([1, 0], [1, 0, 1])
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


class Sums:
    """A tally whose value a test chooses."""

    def __init__(self, value):
        self.value = value

    def add(self, outputs, targets):
        """Take samples."""


def make(value, scale, *, resamples=True):
    kind = type(
        "Own",
        (Sums,),
        {"compute": (lambda self, counts=None: self.value(counts)) if resamples else (lambda self: self.value(None))},
    )
    metric = types.SimpleNamespace(SCALE=scale, OUTPUTS=(), TARGETS=("x",), start=lambda: kind(value))
    found = CheckedMetric("own", metric).start()
    found.add({}, {"x": np.zeros(50)})
    return found


def test_a_metric_that_takes_no_counts_has_a_drop_and_no_interval_and_says_so():
    found = estimate_drop(
        make(lambda _: 0.5, FRACTION, resamples=False), make(lambda _: 0.25, FRACTION, resamples=False), FRACTION
    )
    assert (found.drop, found.lower, found.upper) == (0.25, None, None)
    assert "counts" in found.note


def test_a_metric_without_a_range_has_the_bounds_of_its_draws_alone():
    scale = Scale(unit="px", worst=math.inf, best=0.0)
    found = estimate_drop(make(lambda _: 2.0, scale), make(lambda _: 3.0, scale), scale)
    assert (found.drop, found.lower, found.upper) == (1.0, 1.0, 1.0)


def test_samples_of_which_many_draws_prove_nothing_are_refused():
    def refuse_half(counts):
        if counts is not None and counts[0] == 0:
            raise ToolchainError(ExitCode.INVALID, "nothing", fix="none")
        return 0.5

    with pytest.raises(ToolchainError) as caught:
        estimate_drop(make(refuse_half, FRACTION), make(lambda _: 0.5, FRACTION), FRACTION)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.INVALID, True)


def test_a_metric_that_breaks_on_a_draw_is_an_error_and_no_interval():
    def fail(counts):
        return 0.5 if counts is None else 1 / 0

    with pytest.raises(ToolchainError) as caught:
        estimate_drop(make(fail, FRACTION), make(lambda _: 0.5, FRACTION), FRACTION)
    assert caught.value.code is ExitCode.MALFORMED
