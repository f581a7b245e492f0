"""What each calibration method is for; optima are checked against brute force."""

import numpy as np
import pytest

from tests.lower.calibration.observed import choose, normal, observe
from toolchain.lower.affine import affine_parameters
from toolchain.lower.calibration.methods import entropy, mse
from toolchain.lower.calibration.observation import BINS_PER_SIDE
from toolchain.lower.calibration.range_search import Distribution
from toolchain.lower.ranges import TensorRange


def laplace():
    return np.random.default_rng(1).laplace(size=200_000).astype(np.float32)


def quantize(values, found, *, symmetric):
    affine = affine_parameters(found, "int8", symmetric=symmetric)
    low, high = (-127, 127) if symmetric else (-128, 127)
    levels = np.clip(np.rint(values / affine.scale) + affine.zero_point, low, high)
    return (levels - affine.zero_point) * affine.scale


def distribution_of(values):
    observation = observe(values)
    low, high = min(observation.low, 0.0), max(observation.high, 0.0)
    return Distribution(observation.counts.astype(np.float64), observation.width, low, high, levels=256)


def least_cost_by_brute_force(cost, distribution, points=60):
    shares = np.linspace(1 / 32, 1.0, points)
    low_shares, high_shares = (grid.reshape(-1) for grid in np.meshgrid(shares, shares))
    return cost(distribution, low_shares * distribution.low, high_shares * distribution.high).min()


def test_minmax_is_the_bounds():
    values = normal()
    assert choose("minmax", values) == TensorRange(low=float(values.min()), high=float(values.max()))


@pytest.mark.parametrize("method", ["entropy", "percentile", "mse"])
def test_one_outlier_in_a_million_is_clipped(method):
    values = np.append(normal(1_000_000), np.float32(30.0))
    assert choose(method, values).high < 20.0


@pytest.mark.parametrize("symmetric", [True, False])
def test_percentile_leaves_out_ten_magnitudes_in_a_million(symmetric):
    values = normal(1_000_000)
    found, bin_width = choose("percentile", values, symmetric=symmetric), observe(values).width
    assert (np.abs(values) > found.high).sum() <= 10 < (np.abs(values) > found.high - bin_width).sum()
    assert found.low == -found.high


def test_percentile_keeps_the_thin_side_whole():
    values = np.append(normal(1_000_000) ** 2, np.float32(-0.5))
    found = choose("percentile", values)
    assert found.low == -0.5
    assert found.high < values.max()


@pytest.mark.parametrize("values", [normal(), np.maximum(normal(), 0.0), laplace()], ids=["normal", "relu", "laplace"])
@pytest.mark.parametrize("method", [mse.squared_errors, entropy.divergences])
def test_the_search_finds_what_brute_force_finds(method, values):
    distribution = distribution_of(values)
    name = method.__module__.rpartition(".")[2]
    found = choose(name, values)
    cost = method(distribution, np.array([found.low]), np.array([found.high]))[0]
    # Not 1.0: the divergence of a histogram has many small dips.
    assert cost <= 1.05 * least_cost_by_brute_force(method, distribution)


@pytest.mark.parametrize("share", [1.0, 0.6, 0.2])
def test_the_squared_error_is_that_of_the_quantizer(share):
    values = normal()
    distribution = distribution_of(values)
    found = TensorRange(low=share * distribution.low, high=share * distribution.high)
    predicted = mse.squared_errors(distribution, np.array([found.low]), np.array([found.high]))[0]
    measured = np.square(values - quantize(values, found, symmetric=False)).sum()
    assert predicted == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize("symmetric", [True, False])
def test_mse_has_less_error_than_minmax(symmetric):
    values = normal() ** 3
    errors = {
        method: np.square(values - quantize(values, choose(method, values, symmetric=symmetric), symmetric=symmetric))
        for method in ("mse", "minmax")
    }
    assert errors["mse"].sum() < 0.9 * errors["minmax"].sum()


def test_a_massive_activation_is_kept_by_mse():
    values = np.append(normal(100_000), np.full(100, 60.0, dtype=np.float32))
    assert choose("mse", values).high == pytest.approx(60.0, rel=0.02)


def divergence_one_by_one(counts, width, low, high, levels):
    """KL(P || Q) by its definition, for a histogram without atoms."""
    edges = (np.arange(counts.size + 1) - BINS_PER_SIDE) * width
    mass_below = np.interp(np.linspace(low, high, 2 * levels + 1), edges, np.append(0.0, np.cumsum(counts)))
    kept = np.diff(mass_below)
    reference = kept.copy()
    reference[0] += counts[: int(np.floor(low / width)) + BINS_PER_SIDE].sum()
    reference[-1] += counts[int(np.floor(high / width)) + BINS_PER_SIDE + 1 :].sum()
    spread = np.zeros_like(kept)
    for level in range(levels):
        cells = slice(2 * level, 2 * level + 2)
        filled = reference[cells] > 0
        spread[cells][filled] = kept[cells].sum() / max(filled.sum(), 1)
    p, q = reference / reference.sum(), spread / kept.sum()
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5])
def test_the_divergence_is_that_of_the_definition(share):
    grid = (np.arange(2 * BINS_PER_SIDE) - BINS_PER_SIDE + 0.5) / 1000
    counts = np.round(1e6 * np.exp(-((grid / 0.7) ** 2) / 2))
    filled = np.flatnonzero(counts)
    low, high = (filled[0] - BINS_PER_SIDE) / 1000, (filled[-1] + 1 - BINS_PER_SIDE) / 1000
    distribution = Distribution(counts, 0.001, low, high, levels=256)
    expected = divergence_one_by_one(counts, 0.001, share * low, share * high, 256)
    found = entropy.divergences(distribution, np.array([share * low]), np.array([share * high]))[0]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_constant_background_does_not_narrow_the_entropy_range():
    plain = normal()
    striped = np.concatenate([plain, *(np.full(20_000, value, dtype=np.float32) for value in (-0.7, -0.1, 0.2, 0.9))])
    found, expected = choose("entropy", striped), choose("entropy", plain)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.1)
