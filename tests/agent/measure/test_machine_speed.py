import json
import os
import time

import pytest

from toolchain.agent.measure.machine_speed import choose_best, find_slowdowns, make_probe, recall_best, remember_best


def test_the_best_is_what_eleven_probes_reached_or_what_is_remembered():
    probes = [(100, 200)] * 11 + [(150, 300)] * 20
    assert choose_best(probes, None) == (100, 200)
    assert choose_best(probes[1:], None) == (150, 300)  # ten lucky ones are no speed
    assert choose_best(probes, (90, 250)) == (90, 200)
    assert choose_best([], (90, 250)) == (90, 250)
    assert choose_best([], None) is None


def test_probes_of_a_clock_that_stands_still_say_nothing():
    assert choose_best([(0, 0)] * 30, None) is None
    assert find_slowdowns([(0, 0)] * 30, None) is None


def test_a_round_is_as_slow_as_the_slower_of_its_two_probes_and_of_the_two_kernels():
    assert find_slowdowns([(100, 100), (100, 150), (100, 100), (100, 100)], (100, 100)) == [1.5, 1.5, 1.0]


def test_the_probe_times_two_kernels():
    ticks = iter(range(0, 10**6, 7))
    assert make_probe(lambda: next(ticks))() == (7, 7)
    assert all(time_ns > 0 for time_ns in make_probe(time.perf_counter_ns)())


def test_the_best_is_remembered_for_this_machine_beside_others(tmp_path):
    path = tmp_path / "deep" / "speed.json"
    assert recall_best(path) is None
    remember_best(path, (100, 200))
    assert recall_best(path) == (100, 200)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({"another machine": [1, 2], **document}))
    remember_best(path, (90, 180))
    assert recall_best(path) == (90, 180)
    assert json.loads(path.read_text())["another machine"] == [1, 2]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}'])
def test_a_damaged_memory_is_none(tmp_path, content):
    path = tmp_path / "speed.json"
    path.write_text(content)
    assert recall_best(path) is None
    remember_best(path, (100, 200))
    assert recall_best(path) == (100, 200)


@pytest.mark.parametrize("value", [[0, 100], [-5, 100], [True, 100], [100], "fast", [1.5, 2.5]])
def test_times_that_cannot_be_are_not_remembered_ones(tmp_path, value):
    path = tmp_path / "speed.json"
    remember_best(path, (100, 200))
    (name,) = json.loads(path.read_text())
    path.write_text(json.dumps({name: value}))
    assert recall_best(path) is None


def test_without_a_file_nothing_is_remembered():
    remember_best(None, (1, 2))
    assert recall_best(None) is None


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    remember_best(tmp_path / "file" / "speed.json", (100, 200))
    assert recall_best(tmp_path / "file" / "speed.json") is None


@pytest.mark.parametrize("name", ["speed.json", "speed.json.new"])
@pytest.mark.parametrize("kind", ["FIFO", "link"])
def test_a_pipe_or_link_in_its_place_is_replaced_and_not_waited_for_or_written_through(tmp_path, name, kind):
    (tmp_path / "canary").write_text("{}")
    if kind == "FIFO":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to(tmp_path / "canary")
    assert recall_best(tmp_path / "speed.json") is None
    remember_best(tmp_path / "speed.json", (100, 200))
    assert recall_best(tmp_path / "speed.json") == (100, 200)
    assert (tmp_path / "canary").read_text() == "{}"
