import numpy as np
import pytest

from toolchain.lower.calibration.observation import Observation
from toolchain.lower.calibration.outliers import find_outliers
from toolchain.lower.ranges import TensorRange


def observe(*magnitudes):
    """Return what is known of a tensor that reaches these magnitudes, batch by batch, seen in another order."""
    observation = Observation(counting=False)
    for batch in np.random.default_rng(0).permutation(len(magnitudes)).tolist():
        observation.add(np.array([0.0, -magnitudes[batch]]), batch=batch)
    return {"inner": observation}


def test_the_sample_that_sets_a_range_alone_is_named():
    (outlier,) = find_outliers(observe(1, 2, 3, 400, 2), {"inner": TensorRange(-400.0, 0.1)})
    assert (outlier.tensor, outlier.sample, outlier.magnitude, outlier.times) == ("inner", 3, 400.0, 200.0)


@pytest.mark.parametrize(
    ("magnitudes", "high"),
    [((1, 2, 3, 400, 2), 3.0), ((1, 2, 3, 19, 2), 19.0), ((0, 0, 0, 5), 5.0), ((), 0.0)],
    ids=["clipped", "no outlier", "zero in most", "nothing seen"],
)
def test_what_costs_the_other_samples_nothing_is_not_named(magnitudes, high):
    assert find_outliers(observe(*magnitudes), {"inner": TensorRange(-high, 0.0)}) == ()
