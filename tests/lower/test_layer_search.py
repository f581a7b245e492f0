import math

from hypothesis import given
from hypothesis import strategies as st

from toolchain.lower.layer_search import LayerTime, find_guilty_layers, propose_slow_layers


def model_with_noise(noise):
    """Return a measurement in which each int8 layer adds its own noise power to an output of power 1."""

    def measure(keep_float):
        power = sum(value for name, value in noise.items() if name not in keep_float)
        return math.inf if power == 0 else -10 * math.log10(power)

    return measure


def test_nothing_stays_in_float_when_the_whole_model_passes():
    result = find_guilty_layers(["a", "b"], model_with_noise({"a": 1e-4, "b": 1e-4}), sqnr_db_min=20)
    assert result.keep_float == ()
    assert result.alone_db == {}


def test_the_one_guilty_layer_is_found():
    noise = {"a": 1e-5, "guilty": 0.5, "c": 1e-5}
    result = find_guilty_layers(list(noise), model_with_noise(noise), sqnr_db_min=20)
    assert result.keep_float == ("guilty",)
    assert result.sqnr_db > 20


def test_everything_stays_in_float_when_no_layer_can_be_int8():
    noise = dict.fromkeys("abc", 0.9)
    assert set(find_guilty_layers("abc", model_with_noise(noise), sqnr_db_min=20).keep_float) == set("abc")


@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=30))
def test_the_gate_is_reached_with_the_fewest_layers(powers):
    noise = {f"layer{index}": power for index, power in enumerate(powers)}
    measure = model_with_noise(noise)
    result = find_guilty_layers(list(noise), measure, sqnr_db_min=20)
    assert measure(frozenset(result.keep_float)) >= 20
    for layer in result.keep_float:
        assert measure(frozenset(result.keep_float) - {layer}) < 20


def test_of_two_equally_noisy_layers_the_cheap_one_stays_in_float():
    noise = {"cheap": 0.009, "dear": 0.009}
    result = find_guilty_layers(list(noise), model_with_noise(noise), costs={"cheap": 1, "dear": 100}, sqnr_db_min=20)
    assert result.keep_float == ("cheap",)


def test_a_layer_that_turns_out_not_to_be_needed_returns_to_int8():
    noise = {"loud": 0.5, "free": 0.001, "quiet": 0.005}
    costs = {"loud": 100, "free": -5, "quiet": 100}
    result = find_guilty_layers(list(noise), model_with_noise(noise), costs=costs, sqnr_db_min=20)
    assert result.keep_float == ("loud",)


def test_proposals_grow_from_the_worst_layer_to_all_slow_ones():
    times = {f"slow{loss}": LayerTime(int8_us=100 + loss, float_us=100) for loss in (5, 1, 4, 2, 3)}
    proposals = propose_slow_layers({**times, "fast": LayerTime(int8_us=10, float_us=100)})
    assert proposals[0] == ("slow5",)
    assert [len(proposal) for proposal in proposals] == [1, 2, 4, 5]
    assert all("fast" not in proposal for proposal in proposals)


def test_nothing_is_proposed_when_no_layer_is_slower():
    assert propose_slow_layers({"a": LayerTime(int8_us=1, float_us=2)}) == ()
