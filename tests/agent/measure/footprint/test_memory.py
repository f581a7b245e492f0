import pytest

from toolchain.agent.measure.footprint.memory import read_peak_bytes, read_waited_ns

GOOD = "Name:\tpython3\nVmPeak:\t  90000 kB\nVmHWM:\t   25356 kB\nVmSwap:\t       0 kB\nThreads:\t1\n"


def read(tmp_path, text):
    path = tmp_path / "status"
    path.write_text(text)
    return read_peak_bytes(path)


def test_the_peak_is_that_of_resident_memory_in_bytes(tmp_path):
    assert read(tmp_path, GOOD) == (25356 * 1024, None)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("VmHWM", "VmOther", "no VmHWM"),
        ("25356 kB", "0 kB", "no VmHWM"),
        ("25356 kB", "-5 kB", "no VmHWM"),
        ("25356 kB", "25356 MB", "no VmHWM"),
        ("25356 kB", "much kB", "no VmHWM"),
        ("VmSwap", "VmOther", "no VmSwap"),
        ("      0 kB", "  4096 kB", "4096 kB of it were swapped out"),
    ],
)
def test_counters_that_cannot_be_read_or_do_not_count_all_of_it_are_no_peak(tmp_path, old, new, words):
    assert old in GOOD
    peak_bytes, problem = read(tmp_path, GOOD.replace(old, new))
    assert peak_bytes is None
    assert words in problem


def test_a_system_without_the_counters_says_where_it_looked(tmp_path):
    peak_bytes, problem = read_peak_bytes(tmp_path / "none")
    assert peak_bytes is None
    assert str(tmp_path / "none") in problem


@pytest.mark.parametrize(("text", "waited_ns"), [("5 7 3\n", 7), ("5 x 3\n", None), ("", None)])
def test_the_time_without_a_cpu_is_the_second_counter(tmp_path, text, waited_ns):
    path = tmp_path / "schedstat"
    path.write_text(text)
    assert read_waited_ns(path) == waited_ns
    assert read_waited_ns(tmp_path / "none") is None
