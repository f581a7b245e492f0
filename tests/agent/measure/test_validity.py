"""What makes a measurement invalid, from made series and made conditions."""

import dataclasses

import pytest

from benchmarks.simulated_machine import Payload, Series, SimulatedMachine
from toolchain.agent.measure.conditions import Conditions
from toolchain.agent.measure.latency import Measurement
from toolchain.agent.measure.validity import find_validity

START = {
    **dict.fromkeys(
        ("cpu_stall_us", "memory_stall_us", "io_stall_us", "run_delay_ns", "steal_ns", "cpu_ns"), 5_000_000
    ),
    **dict.fromkeys(("switches", "faults", "monotonic_ns", "raw_ns", "boot_ns", "process_ns"), 7),
}
BEFORE = Conditions(
    temperatures_c={"cpu": 50.0},
    clocks_hz={"policy0 limit": 1_800_000_000, "gpu": 900_000_000},
    throttle_events={"oc1": 0},
    counters=START,
    running=1,
)
# A second on two CPUs, in which nothing else happened.
SECOND = {"monotonic_ns": 10**9, "raw_ns": 10**9, "boot_ns": 10**9, "cpu_ns": 2 * 10**9, "process_ns": 10**9}


def advance(growth=None, **changes):
    counters = {name: start + {**SECOND, **(growth or {})}.get(name, 0) for name, start in START.items()}
    return dataclasses.replace(BEFORE, counters=counters, **changes)


def make_measurement(*blocks_ms, probes=True):
    """Return a measurement of 33 rounds that repeats these blocks of samples."""
    blocks = [[int(sample * 1e6) for sample in blocks_ms[index % len(blocks_ms)]] for index in range(33)]
    probes_ns, best_ns = ([(100, 100)] * 34, (100, 100)) if probes else ((), None)
    return Measurement(blocks_ns={"int8": blocks}, steady={"int8": True}, probes_ns=probes_ns, best_ns=best_ns)


QUIET = make_measurement([0.4, 0.41, 0.39, 0.4])


def test_a_quiet_measurement_has_no_problem_no_note_and_nothing_unknown():
    validity = find_validity(QUIET, BEFORE, advance())
    assert (validity.problems, validity.notes, validity.unknown) == ((), (), ())


@pytest.mark.parametrize(
    ("growth", "word"),
    [
        ({"run_delay_ns": 330_000_000}, "waited for it 33 % of the time"),
        ({"steal_ns": 400_000_000}, "hypervisor"),
        ({"memory_stall_us": 80_000}, "memory ran short"),
        ({"faults": 50}, "swapped"),
        ({"raw_ns": 900_000_000}, "being set"),
        ({"boot_ns": 3 * 10**9}, "slept for 2.00 s"),
        ({"monotonic_ns": -5}, "went back"),
    ],
)
def test_what_the_system_tells_makes_it_invalid(growth, word):
    problems = find_validity(QUIET, BEFORE, advance(growth)).problems
    assert len(problems) == 1
    assert word in problems[0]


@pytest.mark.parametrize(
    "growth",
    [
        {"run_delay_ns": 30_000_000},
        {"steal_ns": 40_000_000},
        {"memory_stall_us": 20_000},
        {"faults": 1},
        {"raw_ns": 999_900_000},
        {"boot_ns": 1_001_000_000},
        {"cpu_stall_us": 900_000},  # others waited; this process did not
        {"switches": 200},
    ],
)
def test_what_every_machine_does_is_no_problem(growth):
    assert find_validity(QUIET, BEFORE, advance(growth)).problems == ()


def test_a_limit_of_a_clock_that_fell_makes_it_invalid():
    clocks = {"policy0 limit": 1_200_000_000, "gpu": 900_000_000}
    (problem,) = find_validity(QUIET, BEFORE, advance(clocks_hz=clocks)).problems
    assert "1800 to 1200 MHz" in problem


def test_a_clock_that_follows_the_load_is_no_throttling():
    clocks = {"policy0 limit": 1_800_000_000, "gpu": 300_000_000}
    assert find_validity(QUIET, BEFORE, advance(clocks_hz=clocks)).problems == ()


def test_a_p90_of_8_ms_beside_a_p50_of_400_us_is_invalid():
    (problem,) = find_validity(make_measurement([0.4] * 8 + [8.0] * 2), BEFORE, advance()).problems
    assert "20.0 times the median" in problem


def test_a_second_speed_is_no_tail_and_rare_long_runs_are_a_note():
    assert find_validity(make_measurement([0.4] * 5, [0.64] * 5), BEFORE, advance()).problems == ()
    rare = find_validity(make_measurement([0.4] * 46 + [8.0] * 1), BEFORE, advance())
    assert rare.problems == ()
    assert "one run in a hundred" in rare.notes[0]


@pytest.mark.parametrize("sample_ms", [0.0, -0.4])
def test_a_run_that_took_no_time_is_a_clock_that_stood_still(sample_ms):
    problems = find_validity(make_measurement([0.4, sample_ms]), BEFORE, advance()).problems
    assert any("stood still or went back" in problem for problem in problems)


def test_a_throttling_trace_is_invalid_even_where_no_sensor_shows_it():
    payloads = {"float32": Payload(0.5), "int8": Payload(0.3)}
    throttled = SimulatedMachine(Series(noise=0.02, drift=0.3), 1).measure(payloads, limit_s=4.0)
    (problem,) = find_validity(throttled, BEFORE, advance()).problems
    assert "times slower during the measurement" in problem
    fine = SimulatedMachine(Series(noise=0.02, drift=0.01), 1).measure(payloads, limit_s=4.0)
    assert find_validity(fine, BEFORE, advance()).problems == ()


def test_sensors_that_cannot_be_read_are_unknown_and_not_fine():
    blind = Conditions(temperatures_c={}, clocks_hz={}, throttle_events={}, counters=dict.fromkeys(START))
    validity = find_validity(make_measurement([0.4] * 4, probes=False), blind, blind)
    assert set(validity.unknown) == {*START, "temperatures", "clocks", "machine speed"}
    assert validity.problems == ()
    asleep = advance(temperatures_c={"cpu": None})
    assert find_validity(QUIET, BEFORE, asleep).unknown == ("temperatures",)


def test_what_the_measurement_says_of_itself_is_a_note():
    slow = dataclasses.replace(QUIET, best_ns=(60, 60), is_decided=False, steady={"int8": False})
    notes = find_validity(slow, BEFORE, advance()).notes
    assert [any(word in note for note in notes) for word in ("best known speed", "steady", "time limit")] == [True] * 3
    half = dataclasses.replace(QUIET, probes_ns=[(100, 100)] * 17 + [(150, 150)] * 17)
    assert "slowed in 52 %" in find_validity(half, BEFORE, advance()).notes[0]
