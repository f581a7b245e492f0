import dataclasses

import pytest

from tests.made_record import make_footprint, make_fresh_run
from toolchain.agent.measure.footprint.figures import find_peaks, summarize_start


def find(*runs, has_device=False, **changes):
    return find_peaks(dataclasses.replace(make_footprint(), runs=runs, **changes), has_device=has_device)


def test_the_peak_is_that_of_the_process_that_took_most():
    usual, largest = find(make_fresh_run(), make_fresh_run(peak_bytes=70_000_000, largest_peak_bytes=None))
    assert (usual.total_bytes, largest.total_bytes) == (70_000_000, 80_000_000)


def test_memory_of_an_accelerator_is_added():
    run = make_fresh_run(device_peak_bytes=30_000_000, largest_device_peak_bytes=40_000_000)
    usual, largest = find(run, has_device=True)
    assert (usual.total_bytes, largest.total_bytes) == (90_000_000, 120_000_000)


@pytest.mark.parametrize(
    "run",
    [
        make_fresh_run(peak_bytes=None, unknown=("swapped",)),
        make_fresh_run(unknown=("swapped",)),
        make_fresh_run(peak_bytes=None),
    ],
)
def test_a_process_that_cannot_tell_makes_the_peak_of_all_unknown(run):
    usual, largest = find(make_fresh_run(), run)
    assert usual is None
    assert largest is None or run.unknown == ()


def test_without_a_process_or_after_a_failure_there_is_no_peak_and_no_start():
    assert find() == (None, None)
    assert find(make_fresh_run(), failure="killed") == (None, None)
    assert summarize_start(dataclasses.replace(make_footprint(), runs=())) is None


def test_a_largest_batch_that_nobody_ran_has_no_peak():
    assert find(make_fresh_run(largest_peak_bytes=None))[1] is None


def test_a_start_is_the_median_of_all_but_the_first_with_its_spread():
    runs = tuple(make_fresh_run(start_ms=value, load_ms=10.0) for value in (900.0, 100.0, 120.0, 110.0))
    start = summarize_start(dataclasses.replace(make_footprint(), runs=runs))
    assert (start.median_ms, start.least_ms, start.most_ms, start.count) == (110.0, 100.0, 120.0, 3)
    assert not start.is_disturbed


def test_starts_that_waited_for_a_tenth_of_their_time_were_disturbed():
    runs = tuple(make_fresh_run(start_ms=100.0, waited_ms=11.0) for _ in range(3))
    assert summarize_start(dataclasses.replace(make_footprint(), runs=runs)).is_disturbed
