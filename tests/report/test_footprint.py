from tests.made_record import make_footprint, make_fresh_run
from toolchain.report.footprint import list_footprint_rows, read_footprint


def read(footprint, *, has_device=False, is_timed=True):
    return read_footprint(footprint, has_device=has_device, is_timed=is_timed)


def test_both_are_told_with_their_spread_and_batch():
    found = read(make_footprint())
    assert (found["start_ms"], found["start_least_ms"], found["start_most_ms"], found["starts"]) == (103, 100, 106, 7)
    assert list_footprint_rows(found) == [
        ["start, ms", "", "103 (100\N{EN DASH}106)", ""],
        ["peak memory", "", "60.0 MB", ""],
        ["at batch 64", "", "80.0 MB", ""],
    ]


def test_what_is_unknown_has_no_row_and_a_reason():
    assert read(None) is None
    assert list_footprint_rows(None) == []
    found = read(make_footprint(failure="killed"))
    assert (found["problem"], list_footprint_rows(found)) == ("killed", [])
    found = read(make_footprint(runs=(make_fresh_run(unknown=("no VmHWM",)),)))
    assert found["problem"] == "no VmHWM"
    assert [row[0] for row in list_footprint_rows(found)] == ["start, ms"]
    assert [row[0] for row in list_footprint_rows(read(make_footprint(), has_device=True))] == ["start, ms"]


def test_on_an_emulated_board_no_time_is_told():
    assert list_footprint_rows(read(make_footprint(), is_timed=False))[0][0] == "peak memory"


def test_one_process_has_no_spread():
    assert list_footprint_rows(read(make_footprint(runs=(make_fresh_run(),))))[0][2] == "100"
