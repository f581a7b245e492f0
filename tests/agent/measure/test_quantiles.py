import json
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.measure.quantiles import compare_rounds, find_upper_bound, find_upper_rank, summarize_latency


def compute_binomial_cdf(successes, trials, probability):
    return sum(math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k) for k in range(successes + 1))


@pytest.mark.parametrize(("quantile", "fewest"), [(0.5, 11), (0.9, 64), (0.95, 130), (0.99, 662), (0.999, 6636)])
def test_the_fewest_samples_are_those_of_mlperf(quantile, fewest):
    assert find_upper_rank(fewest - 1, quantile) is None
    assert find_upper_rank(fewest, quantile) == fewest - 1


@given(samples=st.integers(1, 150), quantile=st.sampled_from([0.5, 0.9]))
def test_the_upper_rank_is_the_smallest_that_binomials_allow(samples, quantile):
    allowed = [rank for rank in range(1, samples) if compute_binomial_cdf(rank - 1, samples, quantile) >= 0.99]
    assert find_upper_rank(samples, quantile) == (allowed[0] if allowed else None)


def test_the_upper_bound_holds_in_99_of_100_experiments():
    rng = random.Random(5)
    rank = find_upper_rank(100, 0.9)
    true_p90 = -math.log(0.1)
    holds = sum(sorted(rng.expovariate(1) for _ in range(100))[rank - 1] >= true_p90 for _ in range(2000))
    assert holds / 2000 >= 0.985


@pytest.mark.parametrize(
    ("count", "known"), [(0, ""), (10, ""), (11, "50"), (63, "50"), (64, "50 90"), (661, "50 90"), (662, "50 90 99")]
)
def test_no_quantile_is_given_from_too_few_samples(count, known):
    latency = summarize_latency([1.0 + 0.001 * index for index in range(count)], steady=True)
    for quantile in ("50", "90", "99"):
        is_known = quantile in known.split()
        assert (getattr(latency, f"p{quantile}_ms") is not None) is is_known
        assert (getattr(latency, f"p{quantile}_upper_ms") is not None) is is_known


def test_quantiles_are_samples_in_order_and_the_mean_is_the_mean():
    samples = [float(1 + index * 377 % 1000) for index in range(1000)]  # 1 to 1000, mixed
    latency = summarize_latency(samples, steady=False)
    assert (latency.p50_ms, latency.p90_ms, latency.p99_ms) == (501.0, 901.0, 991.0)
    assert (latency.p50_upper_ms, latency.p90_upper_ms, latency.p99_upper_ms) == (538.0, 928.0, 999.0)
    assert latency.mean_ms == 500.5
    assert latency.cv == pytest.approx(0.577, abs=1e-3)
    assert (latency.samples, latency.steady) == (1000, False)


def test_quantiles_are_those_of_mlcommons_load_generator_on_its_own_log():
    log = json.loads((Path(__file__).parent / "loadgen" / "log.json").read_text())
    latencies_ns = log["latencies_ns"]
    latency = summarize_latency(latencies_ns, steady=True)
    theirs = [log["percentiles_ns"][name] for name in ("p50", "p90", "p99")]
    assert [latency.p50_ms, latency.p90_ms, latency.p99_ms] == theirs
    # Its upper bound (early stopping) is the sample after the one that suffices.
    for name, quantile in (("p90", 0.9), ("p99", 0.99)):
        rank = find_upper_rank(len(latencies_ns), quantile)
        assert sorted(latencies_ns)[rank] == log["early_stopping_ns"][name]


@given(st.lists(st.floats(0.001, 1e3), min_size=1, max_size=900))
def test_bounds_are_never_under_their_quantiles(samples):
    latency = summarize_latency(samples, steady=True)
    known = [latency.p50_ms, latency.p90_ms, latency.p99_ms]
    uppers = [latency.p50_upper_ms, latency.p90_upper_ms, latency.p99_upper_ms]
    assert [value for value in known if value is not None] == sorted(value for value in known if value is not None)
    assert all(value is None or value <= upper for value, upper in zip(known, uppers, strict=True))


def test_a_slow_stretch_of_time_raises_the_bound_of_p90():
    quick = [1.0 + 0.001 * (index % 10) for index in range(1000)]
    slow = [*quick[:900], *(1.5 * sample for sample in quick[900:])]
    assert find_upper_rank(1000, 0.9) == 922
    assert find_upper_bound(quick, 0.9) < 1.01
    assert find_upper_bound(slow, 0.9) >= 1.5


@pytest.mark.parametrize(("count", "quantile"), [(11, 0.5), (77, 0.9), (759, 0.99)])
def test_one_outlier_is_no_bound(count, quantile):
    samples = [1.0] * count
    samples[count // 2] = 9.0
    assert find_upper_bound(samples, quantile) == 1.0
    assert find_upper_bound([1.0] * (count // 2) + [9.0] * (count - count // 2), quantile) == 9.0


def test_a_ratio_has_an_interval_from_eleven_rounds_on():
    assert compare_rounds([2.0] * 10).low is None
    ratio = compare_rounds([2.0, 1.0, 3.0, 2.0, 5.0, 1.5, 2.5, 2.0, 4.0, 1.2, 2.0])
    assert (ratio.ratio, ratio.low, ratio.high) == (2.0, 1.0, 5.0)
    assert compare_rounds([]).ratio is None


def test_the_interval_holds_both_speeds_where_both_were_seen():
    ratios = [1.3, 1.1] * 11
    one = compare_rounds([*ratios[:20], 1.3, 1.3], [True, False] * 10 + [True, True])
    assert (one.full_speed, one.slowed) == (None, None)
    two = compare_rounds(ratios, [True, False] * 11)
    assert (two.low, two.high, two.full_speed, two.slowed) == (1.1, 1.3, 1.3, 1.1)
    # One episode of two rounds is 1.2: without the two kinds, neither speed would be in the interval.
    assert compare_rounds(ratios).low == pytest.approx(1.2)
