"""The loop around the search for layers that spoil an output: what was found is confirmed on samples that it did not see."""

import math

import pytest

from toolchain.lower.accuracy import choose_kept
from toolchain.lower.qdq_plan import QdqPlan, QuantizedNode, WeightInput
from toolchain.lower.trial import Trial

LAYERS = ("a", "b", "c", "d")


class FakeBench:
    """A model whose int8 layers add noise, each its own power, to an output of power 1."""

    def __init__(self, noise):
        self.noise = noise

    def join(self, other):
        return FakeBench({name: max(self.noise[name], other.noise[name]) for name in self.noise})

    def measure_sqnr_db(self, keep_float):
        power = sum(value for name, value in self.noise.items() if name not in keep_float)
        return math.inf if power == 0 else -10 * math.log10(power)

    def rank_alone_db(self, _plan, layers, keep_float, *, samples, on_layer):
        return {layer: self.measure_sqnr_db(keep_float.union(layers) - {layer}) for layer in layers}

    def try_out(self, keep_float, *, sqnr_db_min):
        sqnr_db = self.measure_sqnr_db(keep_float)
        return Trial(passes=sqnr_db >= sqnr_db_min, low_db=sqnr_db)


@pytest.fixture
def plan():
    weight = {name: WeightInput(index=1, axis=0, bias_index=None, source=f"{name}.weight") for name in LAYERS}
    return QdqPlan(tuple(QuantizedNode(name, "Conv", (name,), weight[name], None) for name in LAYERS))


def choose(seen, others, plan, **options):
    return choose_kept(seen, others, plan, frozenset(), {}, 20.0, lambda _name, _total: lambda: None, **options)


def keep(seen, others, plan):
    return choose(seen, others, plan).reasons


GOOD = FakeBench({"a": 0.5, "b": 0.008, "c": 1e-4, "d": 1e-4})
WORSE = FakeBench({"a": 0.5, "b": 0.012, "c": 1e-4, "d": 1e-4})


def test_what_other_samples_confirm_is_the_result(plan):
    assert list(keep(FakeBench(GOOD.noise), [GOOD], plan)) == ["a"]


def test_what_other_samples_refute_is_searched_again_with_a_stricter_gate_where_no_more_are_left(plan):
    assert sorted(keep(FakeBench(GOOD.noise), [WORSE], plan)) == ["a", "b"]


def test_what_other_samples_refute_is_searched_again_with_them_and_confirmed_on_the_next(plan):
    third = FakeBench(GOOD.noise)
    third.measured = []
    third.measure_sqnr_db = lambda keep_float: third.measured.append(keep_float) or 30.0
    assert sorted(keep(FakeBench(GOOD.noise), [WORSE, third], plan)) == ["a", "b"]
    assert third.measured == [frozenset({"a", "b"})]


def test_what_the_last_samples_refute_too_is_searched_with_a_gate_that_what_they_refuted_misses(plan):
    third = FakeBench({**GOOD.noise, "c": 0.02})
    assert len(keep(FakeBench({**GOOD.noise, "c": 2e-4}), [WORSE, third], plan)) > 2


def test_layers_that_something_else_chose_are_judged_by_the_samples_that_searched_and_by_those_that_confirmed(plan):
    seen, third = FakeBench(GOOD.noise), FakeBench({**GOOD.noise, "c": 0.02})
    assert choose(seen, [], plan).judge(frozenset({"a", "d"})).decides == "sqnr"
    assert choose(seen, [], plan).judge(frozenset({"b", "d"})) is None
    assert choose(seen, [GOOD], plan).judge(frozenset({"a"})) is not None
    assert choose(seen, [WORSE, third], plan).judge(frozenset({"a", "b", "d"})) is None
    assert choose(seen, [WORSE, third], plan).judge(frozenset(LAYERS)) is not None


def test_layers_that_need_not_be_in_float_are_not(plan):
    assert keep(FakeBench(dict.fromkeys(LAYERS, 1e-4)), [], plan) == {}


def test_all_layers_that_were_proposed_stay_in_float_where_other_samples_refute_a_part_of_them(plan):
    """Searched again with a stricter gate, all layers would be up for float."""
    proposed = frozenset({"a", "b"})
    assert set(choose(GOOD, [WORSE], plan, proposed=proposed).reasons) == proposed
    assert set(choose(GOOD, [GOOD], plan, proposed=proposed).reasons) == {"a"}


def test_layers_that_were_proposed_and_are_refuted_are_added_to(plan):
    third = FakeBench({**GOOD.noise, "c": 0.02})
    seen = FakeBench({**GOOD.noise, "c": 2e-4})
    kept = choose(seen, [third], plan, proposed=frozenset({"a"}))
    assert third.measure_sqnr_db(frozenset(kept.reasons)) >= 20.0
    assert "c" in kept.reasons
