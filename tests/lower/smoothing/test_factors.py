import numpy as np
import pytest

from toolchain.lower.smoothing.channels import Channels
from toolchain.lower.smoothing.factors import choose_factors


def make_channels(scale, samples=8, rows=16, seed=0):
    values = np.random.default_rng(seed).normal(size=(samples, rows, len(scale))) * scale
    values = values.astype(np.float32)
    return Channels(lows=values.min(axis=1), highs=values.max(axis=1), rows=tuple(values))


def make_weight(scale, outputs=24, seed=1):
    return (np.random.default_rng(seed).normal(size=(len(scale), outputs)) / np.asarray(scale)[:, None]).astype(
        np.float32
    )


def with_outliers(*, size=32, by=50.0):
    scale = np.ones(size)
    scale[[3, 20]] = by
    return scale


@pytest.mark.parametrize("bits", [7, 8])
def test_outlier_channels_give_what_they_have_to_the_weights(bits):
    scale = with_outliers()
    found = choose_factors(make_channels(scale), [make_weight(scale), make_weight(scale, seed=2)], bits=bits)
    assert found.gain_db > 6
    others = np.delete(found.values, [3, 20])
    assert found.values[[3, 20]].min() > 4 * others.max()


def test_factors_are_powers_of_two_so_that_float_loses_nothing():
    scale = with_outliers()
    found = choose_factors(make_channels(scale), [make_weight(scale)], bits=8)
    np.testing.assert_array_equal(np.exp2(np.rint(np.log2(found.values))), found.values)


def test_channels_that_are_alike_are_left_alone():
    assert choose_factors(make_channels(np.ones(32)), [make_weight(np.ones(32))], bits=8) is None


def test_outliers_of_samples_that_do_not_judge_gain_nothing():
    # The first half of the samples has them and the second has not: the gain is measured on the second.
    loud, plain = make_channels(with_outliers(), samples=4), make_channels(np.ones(32), samples=4, seed=5)
    both = Channels(
        lows=np.concatenate([loud.lows, plain.lows]),
        highs=np.concatenate([loud.highs, plain.highs]),
        rows=loud.rows + plain.rows,
    )
    assert choose_factors(both, [make_weight(np.ones(32))], bits=8) is None


def test_dead_channels_and_weights_of_zeros_keep_the_factor_one():
    scale = with_outliers()
    scale[[0, 7]] = [0.0, 1.0]
    weight = make_weight(with_outliers())
    weight[7] = 0
    found = choose_factors(make_channels(scale), [weight], bits=8)
    assert found.values[[0, 7]].tolist() == [1.0, 1.0]
    assert np.isfinite(found.values).all()


@pytest.mark.parametrize("dead", ["activation", "weight"])
def test_a_product_of_zeros_has_no_factors(dead):
    activation, weight = make_channels(np.ones(8)), make_weight(np.ones(8))
    if dead == "activation":
        activation = make_channels(np.zeros(8))
    else:
        weight[:] = 0
    assert choose_factors(activation, [weight], bits=8) is None


def test_a_weight_that_is_not_finite_has_no_factors():
    scale = with_outliers()
    weight = make_weight(scale)
    weight[1, 1] = np.inf
    assert choose_factors(make_channels(scale), [weight], bits=8) is None
