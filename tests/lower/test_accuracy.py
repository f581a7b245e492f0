"""The loop around the search for layers that spoil an output: what was found is confirmed on samples that it did not see."""

import math

import pytest

from toolchain.lower.accuracy import keep_accurate
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, WeightInput
from toolchain.lower.trial import Trial

LAYERS = ("a", "b", "c", "d")


class FakeBench:
    """A model whose int8 layers add noise, each its own power, to an output of power 1."""

    def __init__(self, noise):
        self.noise = noise
        self.feeds = [{}] if noise else []
        self.tried = []

    def measure_sqnr_db(self, keep_float):
        power = sum(value for name, value in self.noise.items() if name not in keep_float)
        return math.inf if power == 0 else -10 * math.log10(power)

    def rank_sqnr_db(self, keep_float, *, samples):
        return self.measure_sqnr_db(keep_float)

    def try_out(self, keep_float, *, sqnr_db_min):
        self.tried.append(keep_float)
        sqnr_db = self.measure_sqnr_db(keep_float)
        return Trial(passes=sqnr_db >= sqnr_db_min, low_db=sqnr_db)


@pytest.fixture
def plan():
    weight = {name: WeightInput(index=1, axis=0, bias_index=None, source=f"{name}.weight") for name in LAYERS}
    return QdqPlan(tuple(QuantizedNode(name, "Conv", (name,), weight[name], None) for name in LAYERS))


def keep(seen, others, plan):
    return keep_accurate(seen, others, plan, frozenset(), {}, 20.0, lambda _name, _total: lambda: None)


def test_what_other_samples_confirm_is_the_result(plan):
    noise = {"a": 0.5, "b": 1e-4, "c": 1e-4, "d": 1e-4}
    assert list(keep(FakeBench(noise), FakeBench(noise), plan)) == ["a"]


def test_what_other_samples_refute_is_searched_again_with_a_stricter_gate(plan):
    seen = FakeBench({"a": 0.5, "b": 0.008, "c": 1e-4, "d": 1e-4})
    others = FakeBench({"a": 0.5, "b": 0.012, "c": 1e-4, "d": 1e-4})
    assert sorted(keep(seen, others, plan)) == ["a", "b"]


def test_a_second_search_tries_no_set_of_layers_again(plan):
    seen = FakeBench({"a": 0.5, "b": 0.008, "c": 1e-4, "d": 1e-4})
    keep(seen, FakeBench({"a": 0.5, "b": 0.012, "c": 1e-4, "d": 1e-4}), plan)
    assert len(seen.tried) == len(set(seen.tried))


def test_layers_that_need_not_be_in_float_are_not(plan):
    assert keep(FakeBench(dict.fromkeys(LAYERS, 1e-4)), FakeBench({}), plan) == {}
