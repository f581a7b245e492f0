"""What roofs are made of: the quickest of several runs, and a copy of bounded size."""

from types import SimpleNamespace

import pytest

from toolchain.agent.measure import latency
from toolchain.agent.measure.peaks import SIDE, find_peaks


@pytest.mark.parametrize(
    ("asked", "copied"), [(0, 1 << 18), (1 << 20, 1 << 20), (1 << 40, 1 << 26)], ids=["none", "some", "too many"]
)
def test_a_copy_is_as_large_as_asked_within_what_a_board_can_time_and_hold(asked, copied):
    peaks = find_peaks(lambda: None, lambda: None, 1, asked)
    assert peaks.copy_bytes == copied
    assert peaks.memory_gb_s > 0


def test_a_roof_is_of_the_quickest_run(monkeypatch):
    # What a watch reads: three runs each, and then that the time for tries is over.
    script = iter([0.5, 0.001, 0.2, 1.0, 0.4, 0.3, 0.002, 1.0, 0.1, 0.1, 0.05, 1.0])
    monkeypatch.setattr(latency, "Stopwatch", lambda: SimpleNamespace(read_s=lambda: next(script)))
    ran = []
    peaks = find_peaks(lambda: ran.append("float"), lambda: ran.append("int8"), 1, 0)
    assert peaks.float_gmacs == pytest.approx(SIDE**3 / 0.001 / 1e9)
    assert peaks.int8_gmacs == pytest.approx(SIDE**3 / 0.002 / 1e9)
    assert peaks.memory_gb_s == pytest.approx(peaks.copy_bytes / 0.05 / 1e9)
    assert ran == ["float"] * 4 + ["int8"] * 4  # the first of each warms up
