import dataclasses

import pytest

from toolchain.agent.measure.conditions import Conditions, is_throttled, read_conditions

QUIET = Conditions(temperatures_c={}, clocks_hz={}, throttle_events={"oc1_event_cnt": 3, "oc2_event_cnt": 0})


def write(root, name, text):
    path = root / "sys/class" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def test_a_board_shows_temperatures_clocks_and_events(tmp_path):
    write(tmp_path, "thermal/thermal_zone0/type", "cpu-thermal")
    write(tmp_path, "thermal/thermal_zone0/temp", "48500")
    write(tmp_path, "thermal/thermal_zone1/type", "cv0-thermal")  # its sensor is asleep: temp cannot be read
    write(tmp_path, "devfreq/17000000.gpu/cur_freq", "1020000000")
    write(tmp_path, "hwmon/hwmon0/name", "ina3221")
    write(tmp_path, "hwmon/hwmon0/oc9_event_cnt", "9")
    write(tmp_path, "hwmon/hwmon1/name", "soctherm_oc")
    write(tmp_path, "hwmon/hwmon1/oc1_event_cnt", "3")
    write(tmp_path, "../devices/system/cpu/cpufreq/policy0/scaling_max_freq", "1800000")
    write(tmp_path, "../devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "7")
    conditions = read_conditions(tmp_path)
    assert conditions.temperatures_c == {"thermal_zone0 cpu-thermal": 48.5, "thermal_zone1 cv0-thermal": None}
    assert conditions.clocks_hz == {"17000000.gpu": 1020000000, "policy0 limit": 1800000000}
    assert conditions.throttle_events == {"oc1_event_cnt": 3, "cpu1 core_throttle_count": 7}


def test_a_board_shows_who_else_wants_it(tmp_path):
    write(
        tmp_path,
        "../../proc/pressure/cpu",
        "some avg10=2.12 avg60=1.22 avg300=0.80 total=7052491\nfull avg10=0 total=9",
    )
    write(tmp_path, "../../proc/pressure/memory", "unexpected")
    write(tmp_path, "../../proc/self/task/1/schedstat", "100 4000 3")
    write(tmp_path, "../../proc/self/task/2/schedstat", "100 2000 3")
    write(tmp_path, "../../proc/stat", "cpu  10 0 5 100 3 0 1 2 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0")
    write(tmp_path, "../../proc/loadavg", "0.33 0.24 0.13 3/95 7622")
    conditions = read_conditions(tmp_path)
    expected = {"cpu_stall_us": 7052491, "memory_stall_us": None, "io_stall_us": None, "run_delay_ns": 6000}
    expected |= {"steal_ns": 20_000_000, "cpu_ns": 1_210_000_000}
    assert {name: conditions.counters[name] for name in expected} == expected
    assert conditions.running == 3


def test_a_machine_without_sensors_shows_nothing_but_its_clocks(tmp_path):
    conditions = read_conditions(tmp_path)
    assert (conditions.temperatures_c, conditions.clocks_hz, conditions.throttle_events) == ({}, {}, {})
    assert conditions.running is None
    known = {name for name, value in conditions.counters.items() if value is not None}
    assert known <= {"switches", "faults", "monotonic_ns", "raw_ns", "boot_ns", "process_ns"}


@pytest.mark.parametrize(
    ("before", "after", "throttled"),
    [
        ({"oc1": 3}, {"oc1": 3}, False),
        ({"oc1": 3}, {"oc1": 4}, True),
        ({"oc1": None, "oc2": 0}, {"oc1": None, "oc2": 1}, True),
        ({"oc1": None, "oc2": 0}, {"oc1": None, "oc2": 0}, None),
        ({"oc1": 3}, {"oc1": None}, None),
        ({}, {"oc1": 3}, None),
        ({}, {}, None),
    ],
)
def test_throttling_is_a_counter_that_rose_and_an_unreadable_one_is_unknown(before, after, throttled):
    start, end = (dataclasses.replace(QUIET, throttle_events=events) for events in (before, after))
    assert is_throttled(start, end) is throttled
