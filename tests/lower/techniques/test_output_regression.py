"""The line of each channel against numpy's own least squares."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolchain.lower.adjustment import Adjustment
from toolchain.lower.techniques.bias_correction import correct_sequentially
from toolchain.lower.techniques.lockstep import Moments
from toolchain.lower.techniques.output_regression import fit_line, regress_outputs


def measure(expected, found):
    """Return the moments of rows (channels, N)."""
    covariance = ((expected - expected.mean(1, keepdims=True)) * (found - found.mean(1, keepdims=True))).mean(1)
    return Moments(expected.mean(1), found.mean(1), covariance, found.var(1))


@given(seed=st.integers(0, 10_000), noise=st.floats(0.01, 0.5))
def test_the_line_is_the_one_of_least_squares(seed, noise):
    generator = np.random.default_rng(seed)
    expected = generator.normal(1.0, 1.0, (3, 200))
    found = expected * 1.1 + 0.2 + generator.normal(0, noise, expected.shape)
    line = fit_line(measure(expected, found))
    for channel in range(3):
        slope, intercept = np.polyfit(found[channel], expected[channel], 1)
        np.testing.assert_allclose([line.gain[channel], line.shift[channel]], [slope, intercept], rtol=1e-4, atol=1e-5)


def test_a_constant_channel_keeps_its_slope_and_gets_its_mean():
    expected = np.array([[5.0, 5.0], [1.0, 3.0]])
    found = np.array([[4.0, 4.0], [2.0, 2.0]])
    line = fit_line(measure(expected, found))
    np.testing.assert_allclose(line.gain, [1.0, 1.0])
    np.testing.assert_allclose(line.shift, [1.0, 0.0])


def test_a_channel_of_noise_is_not_shrunk_to_nothing_and_one_that_is_upside_down_not_turned():
    generator = np.random.default_rng(0)
    found = generator.standard_normal((2, 500))
    line = fit_line(measure(np.stack([generator.standard_normal(500), -found[1]]), found))
    np.testing.assert_allclose(line.gain, [0.5, 0.5])


def test_it_gains_on_samples_that_it_did_not_see_and_no_less_than_bias_correction(subject):
    plain_db = subject.measure_db(Adjustment())
    corrected_db = subject.measure_db(correct_sequentially(subject, Adjustment()))
    regressed_db = subject.measure_db(regress_outputs(subject, Adjustment()))
    assert regressed_db > plain_db + 1
    assert regressed_db > corrected_db - 0.5
