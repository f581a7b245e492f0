import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.lower.layer_search import LayerTime, find_guilty_layers, predict_guilty, propose_slow_layers
from toolchain.lower.trial import Trial


class Noise:
    """A model in which each int8 layer adds its own noise power to an output of power 1."""

    def __init__(self, noise):
        self.noise = noise
        self.tried = []
        self.progress = []

    def measure_db(self, keep_float):
        power = sum(value for name, value in self.noise.items() if name not in keep_float)
        return math.inf if power == 0 else -10 * math.log10(power)

    def try_out(self, keep_float):
        self.tried.append(keep_float)
        sqnr_db = self.measure_db(keep_float)
        return Trial(passes=sqnr_db >= 20, low_db=sqnr_db)

    def rank(self, layers, *, on_layer):
        alone_db = {}
        for layer in layers:
            alone_db[layer] = self.measure_db(frozenset(self.noise) - {layer})
            on_layer()
        return alone_db

    def start_steps(self, name, total):
        counted = [name, 0, total]
        self.progress.append(counted)

        def advance(count=1):
            counted[1] += count

        return advance

    def search(self, **options):
        return find_guilty_layers(
            list(self.noise),
            self.try_out,
            rank=self.rank,
            start_steps=self.start_steps,
            **{"sqnr_db_min": 20, **options},
        )


def test_nothing_stays_in_float_when_the_whole_model_passes():
    result = Noise({"a": 1e-4, "b": 1e-4}).search()
    assert result.keep_float == ()
    assert result.alone_db == {}


def test_the_one_guilty_layer_is_found():
    assert Noise({"a": 1e-5, "guilty": 0.5, "c": 1e-5}).search().keep_float == ("guilty",)


def test_everything_stays_in_float_when_no_layer_can_be_int8():
    assert set(Noise(dict.fromkeys("abc", 0.9)).search().keep_float) == set("abc")


@pytest.mark.parametrize("sqnr_db_min", [20, None])
@given(powers=st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=30))
def test_the_gate_is_reached_with_the_fewest_layers(powers, sqnr_db_min):
    model = Noise({f"layer{index}": power for index, power in enumerate(powers)})
    result = model.search(sqnr_db_min=sqnr_db_min)
    assert model.measure_db(frozenset(result.keep_float)) >= 20
    for layer in result.keep_float:
        assert model.measure_db(frozenset(result.keep_float) - {layer}) < 20


def test_a_layer_whose_own_noise_is_far_over_the_gate_is_not_tried_again():
    model = Noise({f"loud{index}": 0.5 for index in range(8)} | {f"quiet{index}": 1e-6 for index in range(8)})
    assert len(model.search().keep_float) == 8
    assert len(model.tried) <= 1 + 4  # the model as it is, and the bisection of 16


def test_layers_that_are_proposed_are_taken_where_they_pass_without_those_that_need_not_be_in_float():
    model = Noise({"early": 0.5, "quiet": 1e-6, "late": 1e-6, "last": 1e-6})
    result = model.search(proposed=frozenset({"early", "quiet"}))
    assert result.keep_float == ("early",)
    assert set(result.alone_db) == {"early", "quiet"}


def test_layers_that_are_proposed_and_do_not_suffice_change_nothing():
    model = Noise({"early": 0.5, "quiet": 1e-6, "late": 0.5, "last": 1e-6})
    assert model.search(proposed=frozenset({"early", "quiet"})) == model.search()
    assert set(model.search().keep_float) == {"early", "late"}


@pytest.mark.parametrize("powers", [[0.5], [0.5, 0.5, 1e-6], [1e-6] * 9 + [0.4], [0.9] * 7])
def test_every_counter_of_the_progress_ends_at_its_total(powers):
    model = Noise({f"layer{index}": power for index, power in enumerate(powers)})
    model.search()
    assert model.progress
    assert all(done == total for _, done, total in model.progress)


def test_of_two_equally_noisy_layers_the_cheap_one_stays_in_float():
    model = Noise({"cheap": 0.009, "dear": 0.009})
    assert model.search(costs={"cheap": 1, "dear": 100}).keep_float == ("cheap",)


def test_a_layer_that_turns_out_not_to_be_needed_returns_to_int8():
    model = Noise({"loud": 0.5, "free": 0.001, "quiet": 0.005})
    assert model.search(costs={"loud": 100, "free": -5, "quiet": 100}).keep_float == ("loud",)


def test_proposals_grow_from_the_worst_layer_to_all_slow_ones():
    times = {f"slow{loss}": LayerTime(int8_us=100 + 10 * loss, float_us=100) for loss in (5, 1, 4, 2, 3)}
    proposals = propose_slow_layers({**times, "fast": LayerTime(int8_us=10, float_us=100)})
    assert proposals[0] == ("slow5",)
    assert [len(proposal) for proposal in proposals] == [1, 2, 4, 5]
    assert all("fast" not in proposal for proposal in proposals)


def test_nothing_is_proposed_when_no_layer_is_slower():
    assert propose_slow_layers({"a": LayerTime(int8_us=1, float_us=2)}) == ()


def test_a_set_that_could_gain_no_more_than_two_sessions_differ_by_is_not_proposed():
    times = {"large": LayerTime(int8_us=1000, float_us=2000), "small": LayerTime(int8_us=8, float_us=4)}
    assert propose_slow_layers(times) == ()
    assert propose_slow_layers({**times, "slow": LayerTime(int8_us=30, float_us=10)}) == (("slow",), ("slow", "small"))


def test_the_loudest_layers_are_predicted_until_the_others_are_within_the_gate():
    alone_db = {"loud": 5.0, "louder": 3.0, "quiet": 24.0, "quieter": 40.0}
    assert predict_guilty(alone_db, all_db=1.0, sqnr_db_min=20.0) == {"loud", "louder"}
    assert predict_guilty(alone_db, all_db=30.0, sqnr_db_min=-5.0) == frozenset()
    assert predict_guilty({}, all_db=-200.0, sqnr_db_min=20.0) == frozenset()


def test_layers_whose_errors_add_up_are_predicted_though_the_sum_of_their_powers_is_within_the_gate():
    alone_db = {"real": 22.0, "imaginary": 26.0, "quiet": 48.0}
    assert predict_guilty(alone_db, all_db=12.0, sqnr_db_min=20.0) == {"real", "imaginary"}
