"""What was not decided by measurement is measured again by the next run, and never taken for the truth."""

import json
from importlib import import_module

import pytest

from toolchain.run.cache import Cache

count_attempt = import_module("toolchain.stages.lower").count_attempt

INPUTS = {"model": "abc"}
QUIET = {"speed": {"status": "undecided", "problems": []}}
DISTURBED = {"speed": {"status": "undecided", "problems": ["others wanted the CPU"]}}
DECIDED = {"speed": {"status": "decided", "problems": []}}


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path)


def lower(cache, document):
    """Do what a run does with the stage; return whether it took what was there."""

    def build(folder):
        (folder / "lowering.json").write_text(json.dumps(document))

    return cache.get_or_build("lower-int8", count_attempt(cache, "lower-int8", INPUTS), build).cached


@pytest.mark.parametrize("document", [DECIDED, {"kept_in_float": []}, {"speed": {"status": "not measured"}}])
def test_what_was_decided_or_needs_no_decision_is_taken_from_the_cache(cache, document):
    assert [lower(cache, document) for _ in range(3)] == [False, True, True]


def test_what_was_decided_in_noise_is_measured_anew_each_time_until_it_is_decided(cache):
    assert [lower(cache, DISTURBED) for _ in range(5)] == [False] * 5
    assert [lower(cache, DECIDED) for _ in range(3)] == [False, True, True]


def test_what_a_quiet_machine_cannot_tell_three_times_is_left_at_that(cache):
    assert [lower(cache, QUIET) for _ in range(5)] == [False, False, False, True, True]


def test_a_result_that_another_run_may_be_using_is_not_touched(cache):
    def build(folder):
        (folder / "lowering.json").write_text(json.dumps(DISTURBED))

    first = cache.get_or_build("lower-int8", count_attempt(cache, "lower-int8", INPUTS), build)
    lower(cache, DISTURBED)
    assert json.loads((first.folder / "lowering.json").read_text()) == DISTURBED
