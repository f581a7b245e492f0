"""What fresh processes take: of the payload alone, in its worst run, and a reason where that cannot be told."""

import numpy as np
import pytest

from tests.agent.measure.footprint.payloads import BY_BATCH, BY_VALUE, measure, write_payload
from toolchain.agent.measure import members, runtimes
from toolchain.agent.measure.footprint import measure as module
from toolchain.agent.measure.footprint.figures import find_peaks, summarize_start

MB = 1_000_000
SMALL = [1.0] * 8


@pytest.fixture
def by_value(tmp_path):
    return write_payload(tmp_path, BY_VALUE)


def find_peak_mb(footprint):
    assert footprint.failure is None
    usual, largest = find_peaks(footprint, has_device=False)
    return usual.total_bytes / MB, largest.total_bytes / MB


def test_a_peak_that_comes_after_the_first_run_counts(by_value):
    before, _ = find_peak_mb(measure(by_value, SMALL, fixed=True))
    after, _ = find_peak_mb(measure(by_value, [*SMALL[:-1], 50 * MB / 4], fixed=True, run_ms=1.0))
    assert after - before > 45


def test_a_peak_that_comes_at_the_largest_batch_counts_and_is_told_apart(tmp_path):
    path = write_payload(tmp_path, BY_BATCH)
    footprint = measure(path, [1.0] * 64)
    usual, largest = find_peak_mb(footprint)
    assert footprint.largest_batch == 64
    assert largest - usual > 60


def test_an_application_that_gives_fewer_samples_at_once_is_measured_with_as_many(tmp_path):
    path = write_payload(tmp_path, BY_BATCH)
    footprint = measure(path, [1.0] * 64, memory_batch_max=1.0)
    assert (footprint.batch, footprint.largest_batch) == (1, 1)
    usual, largest = find_peak_mb(footprint)
    assert usual == largest


def test_where_the_application_gives_more_samples_than_there_are_they_come_again(tmp_path):
    footprint = measure(write_payload(tmp_path, BY_BATCH), [1.0] * 3, memory_batch_max=40.0)
    usual, largest = find_peak_mb(footprint)
    assert footprint.largest_batch == 40
    assert largest - usual > 35


def test_a_payload_of_a_fixed_batch_is_run_with_no_other(by_value):
    assert measure(by_value, SMALL, batch=2, fixed=True).largest_batch == 2


def test_the_memory_of_the_process_that_measures_is_not_the_payload_s(by_value):
    held = np.ones(40 * MB)  # 320 MB
    peak_mb, _ = find_peak_mb(measure(by_value, SMALL, fixed=True))
    assert peak_mb < held.nbytes / MB / 2


def test_each_process_starts_anew_and_the_first_one_is_no_start_that_counts(by_value):
    footprint = measure(by_value, SMALL, processes=3)
    assert len(footprint.runs) == 3
    start = summarize_start(footprint)
    assert start.count == 2
    assert 0 < start.load_ms < start.least_ms <= start.median_ms <= start.most_ms
    assert all(run.runs >= 2 for run in footprint.runs)


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_a_payload_that_cannot_be_opened_is_a_failure_in_words(by_value, content):
    by_value.unlink()
    if content is not None:
        by_value.write_bytes(content)
    footprint = measure(by_value, SMALL, processes=2)
    assert footprint.runs == ()
    assert "cannot run the payload" in footprint.failure


def test_threads_that_cannot_be_pinned_are_a_failure_and_not_measured_otherwise(by_value):
    footprint = measure(by_value, SMALL, pins=True)  # on one thread, which is the application's own
    assert (footprint.runs, "cannot be pinned here" in footprint.failure) == ((), True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import os; os.abort()", "SIGABRT"),
        ("raise SystemExit(3)", "exit code 3"),
        ("print('[]')", "ended without its figures"),
        ("print('{}')", "ended without its figures"),
        ("print('9' * 5000)", "ended without its figures"),
        ("pass", "ended without its figures"),
    ],
)
def test_a_process_that_does_not_get_to_its_end_has_told_nothing(by_value, monkeypatch, body, words):
    monkeypatch.setattr(module, "_START", body)
    footprint = measure(by_value, SMALL, processes=2)
    assert find_peaks(footprint, has_device=False) == (None, None)
    assert words in footprint.failure


def test_a_process_that_never_ends_is_ended(by_value, monkeypatch):
    monkeypatch.setattr(module, "_ALARM_S", 1)
    monkeypatch.setattr(module, "_START", "import signal, sys, time; signal.alarm(int(sys.argv[1])); time.sleep(600)")
    assert "SIGALRM" in measure(by_value, SMALL).failure


OUTSIDE = """
from ..traits import LibraryPlaces, Traits

TRAITS = Traits(install="none", libraries=LibraryPlaces(beside=()))


def load():
    print("a runtime that talks")


def open_session(path, threads, build):
    return _Session()


def read_device_peak_bytes():
    return 7_000_000


class _Session:
    def run(self, feeds):
        print("in every run")
        return dict(feeds)
"""


def test_a_runtime_from_outside_is_found_and_tells_the_memory_of_its_accelerator(by_value, tmp_path, monkeypatch):
    monkeypatch.setattr(members, "_files", {})
    path = tmp_path / "outside.py"
    path.write_text(OUTSIDE)
    members.register_member(runtimes, "outside", path)
    footprint = measure(by_value, SMALL, runtime="outside", batch=8)
    assert footprint.failure is None
    without, _ = find_peaks(footprint, has_device=False)
    usual, largest = find_peaks(footprint, has_device=True)
    assert usual.device_bytes == largest.device_bytes == 7_000_000
    assert usual.total_bytes == without.total_bytes + 7_000_000


def test_memory_of_an_accelerator_that_the_runtime_does_not_tell_is_unknown(by_value):
    assert find_peaks(measure(by_value, SMALL), has_device=True) == (None, None)
