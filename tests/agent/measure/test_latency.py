"""The measurement on a made clock: nothing here depends on how long anything takes."""

import pytest

from benchmarks.simulated_machine import Payload, Series, SimulatedMachine
from toolchain.agent.measure.latency import (
    FASTER,
    NOT_FASTER,
    UNDECIDED,
    Measurement,
    Stopwatch,
    decide,
    is_faster,
    measure_latency,
)
from toolchain.agent.measure.quantiles import Ratio

QUIET = Series(noise=0.01)


def measure(seed, runs_ms, series=QUIET, **options):
    """Return the measurement of payloads that a slowed machine slows by 1.4, and the machine."""
    machine = SimulatedMachine(series, seed)
    payloads = {name: Payload(run_ms, slowed=1.4) for name, run_ms in runs_ms.items()}
    return machine.measure(payloads, **options), machine


def test_a_difference_that_two_sessions_of_one_model_have_is_no_speedup():
    measurement, _ = measure(1, {"a": 0.504, "b": 0.5}, Series(noise=0.001))
    assert decide(measurement.compare("a", "b")) == NOT_FASTER


def test_the_interval_holds_what_another_session_of_the_same_payload_may_show():
    ratio = measure(1, {"a": 1.0, "b": 0.5}, Series(noise=0.0))[0].compare("a", "b")
    assert (ratio.low, ratio.ratio, ratio.high) == pytest.approx((2.0 / 1.01, 2.0, 2.0 * 1.01), rel=1e-5)


def test_a_clear_answer_takes_one_look():
    measurement, machine = measure(1, {"a": 0.5, "b": 0.7, "c": 0.6})
    latencies = [measurement.summarize(name) for name in "abc"]
    assert all(latency.samples >= 1000 and latency.steady and latency.p99_upper_ms for latency in latencies)
    assert machine.now_ns < 3e9
    assert measurement.is_decided


def test_every_recorded_run_is_kept_and_one_run_before_each_block_is_not():
    log = []
    machine = SimulatedMachine(QUIET, 2)
    runs = {"a": machine.make_run(Payload(0.5)), "b": machine.make_run(Payload(0.5))}
    logged = {name: lambda name=name, run=run: (log.append(name), run()) for name, run in runs.items()}
    measurement = measure_latency(logged, samples=300, clock=machine.read_clock, probe=machine.probe)
    blocks = measurement.blocks_ns["a"]
    after_warm_up = log[-sum(len(block) + 1 for name in "ab" for block in measurement.blocks_ns[name]) :]
    assert after_warm_up.count("a") == sum(map(len, blocks)) + len(blocks)
    assert measurement.list_samples_ms("a") == [sample / 1e6 for block in blocks for sample in block]
    assert len(measurement.probes_ns) == len(blocks) + 1


def test_payloads_take_turns_and_none_is_always_first():
    log = []
    machine = SimulatedMachine(QUIET, 3)
    runs = {name: machine.make_run(Payload(0.5)) for name in "abc"}
    logged = {name: lambda name=name, run=run: (log.append(name), run()) for name, run in runs.items()}
    measurement = measure_latency(logged, samples=30, clock=machine.read_clock, probe=machine.probe)
    length = len(measurement.blocks_ns["a"][0]) + 1
    rounds = len(measurement.blocks_ns["a"])
    turns = "".join(log[-3 * length * rounds :: length])
    assert {"".join(sorted(turns[start : start + 3])) for start in range(0, len(turns), 3)} == {"abc"}
    assert set(turns[::3]) == set("abc")


def test_a_payload_that_never_settles_is_not_steady_and_is_measured_to_the_limit():
    machine = SimulatedMachine(QUIET, 4)
    growing = [1.0]

    def run():
        growing[0] *= 1.05
        machine.now_ns += int(1e6 * growing[0])

    runs = {"growing": run, "even": machine.make_run(Payload(1.0))}
    measurement = measure_latency(runs, samples=30, limit_s=5.0, clock=machine.read_clock, probe=machine.probe)
    assert measurement.steady == {"growing": False, "even": True}
    assert measurement.find_slowdown() > 1.1
    assert not measurement.is_decided


def test_a_slow_payload_gets_fewer_samples_but_enough_for_a_median():
    latency = measure(5, {"a": 2000.0, "b": 1000.0})[0].summarize("a")
    assert latency.samples == 11
    assert latency.p50_ms is not None
    assert latency.p90_ms is None


def test_of_a_slow_payload_of_which_a_ratio_is_all_that_is_asked_eleven_rounds_may_tell():
    runs_ms = {"float": 90.0, "int8": 60.0}
    patient, _ = measure(1, runs_ms, samples=100, limit_s=60.0)
    quick, _ = measure(1, runs_ms, samples=100, samples_to_look=11, limit_s=60.0)
    assert (len(patient.blocks_ns["int8"]), len(quick.blocks_ns["int8"])) == (100, 11)
    assert {decide(found.compare("float", "int8")) for found in (patient, quick)} == {FASTER}
    alike, _ = measure(1, {"float": 60.0, "int8": 60.0}, Series(noise=0.1), samples=100, samples_to_look=11)
    assert len(alike.blocks_ns["int8"]) > 11


def test_a_noisy_machine_is_measured_on_until_the_question_is_answered():
    quiet, _ = measure(6, {"a": 1.05, "b": 1.0}, samples=30)
    noisy, _ = measure(6, {"a": 1.05, "b": 1.0}, Series(noise=0.5), samples=30, limit_s=600.0)
    assert len(noisy.blocks_ns["a"]) > len(quiet.blocks_ns["a"])
    assert is_faster(noisy.compare("a", "b"))


def test_noise_without_end_stops_at_the_limit_and_says_that_it_decided_nothing():
    measurement, machine = measure(7, {"a": 10.3, "b": 10.0}, Series(noise=1.0), samples=30, limit_s=10.0)
    assert decide(measurement.compare("a", "b")) == UNDECIDED
    assert not measurement.is_decided
    assert 10e9 <= machine.now_ns < 11e9


def test_who_asks_decides_when_it_is_answered():
    asked = []
    measurement, machine = measure(
        8, {"a": 0.5}, limit_s=10.0, is_decided=lambda seen: asked.append(seen) or len(asked) > 2
    )
    assert len(asked) == 3
    assert measurement.is_decided
    assert machine.now_ns < 6e9


def test_both_speeds_of_a_machine_are_in_the_interval_and_in_words():
    machine = SimulatedMachine(Series(noise=0.02, dwell_s=0.3), 9)
    measurement = machine.measure({"float": Payload(0.313, slowed=1.31), "int8": Payload(0.235, slowed=1.6)})
    ratio = measurement.compare("float", "int8")
    assert ratio.low < 1.09 < 1.33 < ratio.high
    assert (ratio.full_speed, ratio.slowed) == pytest.approx((1.33, 1.09), abs=0.02)
    assert "the machine has two speeds, 1.33 at full speed and 1.09" in ratio.note


def test_a_machine_of_one_speed_has_no_note():
    assert measure(9, {"a": 1.0, "b": 0.5})[0].compare("a", "b").note is None


def test_a_run_that_saw_only_the_slow_speed_knows_it_from_the_memory_and_goes_on(tmp_path):
    memory = tmp_path / "cache" / "speed.json"
    measure(10, {"a": 1.0, "b": 0.5}, memory=memory)
    slow = SimulatedMachine(Series(noise=0.01, dwell_s=1e9), 0)
    slow._is_slowed = True
    measurement = slow.measure(
        {"a": Payload(1.0, slowed=1.4), "b": Payload(0.5, slowed=1.4)}, memory=memory, limit_s=8.0
    )
    assert measurement.misses_full_speed()
    assert not measurement.is_decided
    assert slow.now_ns >= 8e9
    assert "not bounded" in measurement.compare("a", "b").note
    again, machine = measure(11, {"a": 1.0, "b": 0.5}, memory=memory)
    assert not again.misses_full_speed()
    assert machine.now_ns < 3e9


def test_a_throttling_machine_is_measured_to_the_limit():
    measurement, machine = measure(12, {"a": 1.0, "b": 0.5}, Series(noise=0.01, drift=0.5), limit_s=6.0)
    assert measurement.find_slowdown() > 1.1
    assert machine.now_ns >= 6e9
    assert measure(12, {"a": 1.0, "b": 0.5}, Series(noise=0.01, drift=0.01))[0].find_slowdown() is None


def test_progress_never_goes_back_and_ends_at_all():
    seen = []
    series = Series(noise=1.0)  # it takes more than one look
    measure(8, {"a": 1.02, "b": 1.0}, series, limit_s=5.0, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (100, 100)
    assert len(seen) > 10


def test_one_payload_alone_can_be_measured():
    assert measure(9, {"a": 0.5})[0].summarize("a").samples >= 1000


def test_a_clock_that_stands_still_compares_nothing():
    measurement = Measurement(blocks_ns={"a": [[0]] * 30, "b": [[0]] * 30}, steady={"a": True, "b": True})
    assert decide(measurement.compare("a", "b")) == UNDECIDED


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (1.001, 1.2, FASTER),
        (1.0, 1.2, UNDECIDED),
        (0.97, 1.02, NOT_FASTER),
        (0.97, 1.021, UNDECIDED),
        (0.5, 0.6, NOT_FASTER),
        (None, None, UNDECIDED),
    ],
)
def test_a_ratio_is_faster_not_faster_or_undecided(low, high, decision):
    ratio = Ratio(ratio=1.1, low=low, high=high)
    assert decide(ratio) == decision
    assert is_faster(ratio) is (decision == FASTER)


def test_a_stopwatch_reads_seconds_since_it_was_made():
    readings = iter([5_000_000_000, 5_000_000_000, 7_500_000_000])
    stopwatch = Stopwatch(clock=lambda: next(readings))
    assert [stopwatch.read_s(), stopwatch.read_s()] == [0.0, 2.5]
