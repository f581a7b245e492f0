import pytest

from benchmarks.soak.calibration import find_excess


def rows(**peaks):
    return [
        {"data": kind, "samples": count, "peak_bytes": peak}
        for kind, pair in peaks.items()
        for count, peak in zip((1_000, 10_000), pair, strict=True)
    ]


def test_memory_that_does_not_grow_with_the_data_is_no_problem():
    assert find_excess(rows(pictures=(4e8, 4.4e8), npz=(4e8, 3e8))) == []


@pytest.mark.parametrize("kind", ["pictures", "npz"])
def test_memory_that_grows_with_the_data_is_found(kind):
    peaks = {"pictures": (4e8, 4e8), "npz": (4e8, 4e8)} | {kind: (4e8, 4.5e8)}
    assert [problem.partition(":")[0] for problem in find_excess(rows(**peaks))] == [kind]
