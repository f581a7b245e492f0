import math

import numpy as np
import pytest

from tests.lower.conftest import run_model
from tests.lower.smoothing.conftest import make_block
from toolchain.agent.measure.parity import compare
from toolchain.lower.dynamic.plan import find_dynamic
from toolchain.lower.dynamic.write import write_dynamic
from toolchain.lower.qdq_plan import QdqPlan
from toolchain.lower.smoothing import smooth, smooth_outliers


def run_int8(model, scheme, feed):
    return run_model(write_dynamic(model, QdqPlan(tuple(find_dynamic(model).values())), scheme), feed)


@pytest.mark.parametrize("kernels", ["onnxruntime", None])
def test_a_net_with_outlier_channels_keeps_more_in_int8_and_all_in_float(feeds, scheme, kernels):
    model, _ = make_block(outliers=True)
    found = smooth_outliers(model, feeds, scheme, kernels=kernels, enough_db=math.inf)
    assert set(found.factors) == {"h"}
    assert found.after_db > found.before_db + 3
    unseen = feeds[-1]
    expected = run_model(model, unseen)
    np.testing.assert_allclose(run_model(found.model, unseen)["y"], expected["y"], rtol=1e-5, atol=1e-5)
    (before,), (after,) = (compare(expected, run_int8(made, scheme, unseen)) for made in (model, found.model))
    assert after.sqnr_db > before.sqnr_db + 3


def test_a_net_without_outliers_is_left_as_it_is(feeds, scheme):
    model, _ = make_block(outliers=False)
    found = smooth_outliers(model, feeds, scheme, kernels="onnxruntime", enough_db=math.inf)
    assert found.model is model
    assert found.after_db is None
    assert found.describe()["tensors"] == []


def test_what_the_model_does_not_gain_by_is_taken_back(feeds, scheme, monkeypatch):
    model, _ = make_block(outliers=True)
    original = smooth.migrate

    def migrate_badly(model, groups, factors):
        return original(model, groups, {name: 1 / values for name, values in factors.items()})

    monkeypatch.setattr(smooth, "migrate", migrate_badly)
    found = smooth_outliers(model, feeds, scheme, kernels="onnxruntime", enough_db=math.inf)
    assert found.model is model
    assert found.after_db < found.before_db
    assert found.describe()["tensors"] == []


def test_too_few_samples_to_judge_by_move_nothing(feeds, scheme):
    model, _ = make_block(outliers=True)
    assert smooth_outliers(model, feeds[:16], scheme, kernels="onnxruntime", enough_db=math.inf).model is model


def test_a_net_of_convolutions_is_left_as_it_is(residual, images, scheme):
    samples = [{"image": images["image"][index : index + 1]} for index in range(16)] * 2
    assert smooth_outliers(residual, samples, scheme, kernels="onnxruntime", enough_db=math.inf).model is residual


def test_what_keeps_far_more_than_the_gate_is_not_looked_at_and_what_keeps_less_is(feeds, scheme, monkeypatch):
    model, _ = make_block(outliers=True)
    plain_db = smooth_outliers(model, feeds, scheme, kernels="onnxruntime", enough_db=math.inf).before_db
    assert smooth_outliers(model, feeds, scheme, kernels="onnxruntime", enough_db=plain_db + 0.1).factors
    monkeypatch.setattr(smooth, "observe_channels", None)
    found = smooth_outliers(model, feeds, scheme, kernels="onnxruntime", enough_db=plain_db - 0.1)
    assert found.model is model
    assert found.before_db == plain_db
