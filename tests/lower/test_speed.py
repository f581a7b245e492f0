"""What the search for slow layers decides, with the time in the test's hands."""

import pytest

from toolchain.agent.measure.conditions import Conditions
from toolchain.agent.measure.latency import Measurement
from toolchain.lower import speed
from toolchain.lower.accuracy import Accuracy
from toolchain.lower.layer_search import LayerTime
from toolchain.lower.runtimes.onnxruntime import plan_int8
from toolchain.lower.speed import LayerTimes

LAYERS = ("conv1", "conv2", "gemm")
TIMES = {name: LayerTime(int8_us=1.0, float_us=2.0) for name in LAYERS} | {"conv1": LayerTime(30.0, 10.0)}
QUIET = Conditions({}, {}, {})
BUSY = ("others wanted the CPU",)


@pytest.fixture
def search(bench, residual, monkeypatch, tmp_path):
    """Return what runs the search; each stretch of time says how many ns a run takes without and with float layers.

    Where a stretch has several times with float layers, rounds take turns with them; lists are those of one set each.
    """
    monkeypatch.setenv("TOOLCHAIN_CACHE", str(tmp_path))

    def run(*stretches, known=None, conditions=(), judge=lambda _: Accuracy("sqnr")):
        left, states = list(stretches), list(conditions)

        def measure(runs, **_options):
            plain_ns, *float_ns = left.pop(0)
            if float_ns and isinstance(float_ns[0], list):
                own_ns = {name: float_ns[index] for index, name in enumerate(name for name in runs if name)}
            else:
                own_ns = dict.fromkeys(runs, float_ns)
            blocks = {
                name: [[own_ns[name][index % len(own_ns[name])] if name else plain_ns] for index in range(33)]
                for name in runs
            }
            return Measurement(blocks_ns=blocks, steady=dict.fromkeys(runs, True))

        monkeypatch.setattr(speed, "measure_latency", measure)
        monkeypatch.setattr(speed, "read_conditions", lambda _root: states.pop(0) if states else QUIET)
        known = LayerTimes(TIMES) if known is None else known
        steps = {"judge": judge, "threads": 1, "start_steps": lambda _name, _total: lambda: None}
        found = speed.find_slow_layers(bench, plan_int8(residual), frozenset(), known, **steps)
        assert left == []
        return found

    return run


def test_layers_that_win_twice_stay_in_float_and_the_second_time_is_what_is_said(search):
    found = search((3000, 1000), (3000, 2000))
    assert found.keep_float == {
        "conv1": "30 us in int8, 10 us in float; the model is 1.50 times as fast with this layer in float"
    }
    assert [(trial.layers, trial.confirms) for trial in found.trials] == [
        (("conv1",), False),
        (LAYERS, False),
        (("conv1",), True),
    ]
    assert found.status == "decided"


def test_layers_with_which_the_model_is_faster_and_less_accurate_than_it_must_be_are_int8_and_named(search):
    asked = []
    found = search((3000, 1000), judge=asked.append)
    assert asked == [frozenset({"conv1"})]
    assert found.keep_float == {}
    assert found.describe() == {"status": "decided", "problems": [], "refused": ["conv1"]}


def test_layers_that_win_in_one_stretch_of_time_only_are_int8_and_nothing_is_decided(search):
    found = search((3000, 1000), (3000, 3000))
    assert found.keep_float == {}
    assert [trial.decision for trial in found.trials] == ["faster", "faster", "not faster"]
    assert found.status == "undecided"


def test_what_does_not_win_is_not_measured_again(search):
    found = search((3000, 3010))
    assert found.keep_float == {}
    assert [trial.confirms for trial in found.trials] == [False, False]
    assert found.status == "decided"


def test_what_may_win_or_not_is_int8_and_undecided(search):
    found = search((3000, 2500, 2500, 2500, 3500, 3500, 3500))
    assert found.keep_float == {}
    assert {trial.decision for trial in found.trials} == {"undecided"}
    assert found.status == "undecided"


OPEN = [2500, 2500, 2500, 3500, 3500, 3500]


def test_a_set_that_may_win_is_measured_alone_where_the_others_surely_do_not(search):
    found = search((3000, OPEN, [3000]), (3000, 1500), (3000, 1500))
    assert set(found.keep_float) == {"conv1"}
    assert [(trial.layers, trial.decision) for trial in found.trials] == [
        (LAYERS, "not faster"),
        (("conv1",), "faster"),
        (("conv1",), "faster"),
    ]
    assert found.status == "decided"


def test_a_set_that_stays_open_when_it_is_measured_alone_is_int8_and_undecided(search):
    found = search((3000, OPEN, [3000]), (3000, OPEN))
    assert (found.keep_float, found.status) == ({}, "undecided")


def test_a_measurement_among_busy_neighbours_decides_nothing_whatever_it_says(search):
    start = {"run_delay_ns": 0, "monotonic_ns": 0}
    end = {"run_delay_ns": 500_000_000, "monotonic_ns": 10**9}
    busy = [Conditions({}, {}, {}, counters=counters) for counters in (start, end)]
    found = search((3000, 1000), conditions=busy)
    assert (found.keep_float, found.status) == ({}, "undecided")
    assert "50 % of the time" in found.problems[0]
    later = search((3000, 1000), (3000, 1000), conditions=[QUIET, QUIET, *busy])
    assert (later.keep_float, later.status) == ({}, "undecided")


@pytest.mark.parametrize(("run_us", "stretches"), [(5.9, []), (6.1, [(3000, 4000)]), (None, [(3000, 4000)])])
def test_all_layers_together_are_not_tried_where_they_alone_take_longer_in_float_than_the_model_in_int8(
    search, run_us, stretches
):
    times = {name: LayerTime(int8_us=1.0, float_us=2.0) for name in LAYERS}
    found = search(*stretches, known=LayerTimes(times, int8_run_us=run_us))
    assert (found.keep_float, found.status) == ({}, "decided")
    assert [trial.layers for trial in found.trials] == [LAYERS] * len(stretches)


def test_a_part_of_them_is_tried_all_the_same(search):
    found = search((3000, 1000), (3000, 2000), known=LayerTimes(TIMES, int8_run_us=13.0))
    assert [trial.layers for trial in found.trials] == [("conv1",), ("conv1",)]


def test_layers_that_were_timed_among_busy_neighbours_are_not_tried(search):
    found = search(known=LayerTimes(problems=BUSY))
    assert (found.keep_float, found.trials, found.status, found.problems) == ({}, (), "undecided", BUSY)


def test_times_that_were_taken_among_busy_neighbours_are_left_out(bench, residual, monkeypatch):
    counters = iter([{"run_delay_ns": 0, "monotonic_ns": 0}, {"run_delay_ns": 9 * 10**8, "monotonic_ns": 10**9}])
    monkeypatch.setattr(speed, "read_conditions", lambda _root: Conditions({}, {}, {}, counters=next(counters)))
    known = speed.time_both(bench, plan_int8(residual), frozenset(), threads=1)
    assert known.times == {}
    assert known.problems
    monkeypatch.setattr(speed, "read_conditions", lambda _root: QUIET)
    assert set(speed.time_both(bench, plan_int8(residual), frozenset(), threads=1).times) <= set(LAYERS)
