import dataclasses

import pytest

from toolchain.agent.conditions import Conditions, is_throttled, read_conditions

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
    assert read_conditions(tmp_path) == Conditions(
        temperatures_c={"thermal_zone0 cpu-thermal": 48.5, "thermal_zone1 cv0-thermal": None},
        clocks_hz={"17000000.gpu": 1020000000},
        throttle_events={"oc1_event_cnt": 3},
    )


def test_a_machine_without_sensors_shows_nothing(tmp_path):
    assert read_conditions(tmp_path) == Conditions(temperatures_c={}, clocks_hz={}, throttle_events={})


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
