"""The roofline's table: of one runtime, and what is not known is a dash."""

import pytest

from benchmarks.roofline import replace_roofline, write_table
from tests.report.explained_run import explain_run, make_times


def write(*times, runtime="onnxruntime"):
    return write_table([explain_run(one).report() for one in times], runtime=runtime)


def test_a_row_has_the_share_of_the_peak_the_rest_and_three_layers():
    row = write(make_times()).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 9
    assert [cell.rpartition(" ")[2] for cell in cells[1:6]] == ["µs", "%", "µs", "%", "%"]
    assert all("µs of " in cell for cell in cells[6:])


def test_peaks_are_told_beneath_the_rows():
    assert "Peaks under onnxruntime: 160 to 160 GMAC/s in int8, 40" in write(make_times(), make_times())


def test_reports_of_another_runtime_are_left_out():
    assert write(make_times(), runtime="openvino") == "no report of openvino with times"


def test_without_peaks_there_is_no_share_and_no_gain():
    text = write(make_times(peaks=None, peaks_problem="nobody measures them"))
    assert text.splitlines()[2].count("–") == 5
    assert "none measured" in text


def test_a_model_without_times_is_named_with_the_reason():
    silent = make_times(kernels=(), runs=0, run_us=0.0, peaks=None, problem="the profile is gone")
    assert "no times (the profile is gone)" in write(silent)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_table_of_a_runtime_has_its_place_in_a_page_and_the_rest_stays(runtime):
    page, changed = replace_roofline("| a table |\n", runtime=runtime)
    kept, new = page.read_text(encoding="utf-8"), "| a table |"
    before, _, after = changed.partition(new)
    assert len(before) > 1000
    assert len(after) > 1000
    assert kept.startswith(before.rstrip())
    assert kept.endswith(after.lstrip())


def test_a_model_that_ships_in_another_precision_says_in_which():
    report = explain_run(make_times()).report()
    row = write_table([{**report, "model": "net", "precision": "float32"}], runtime="onnxruntime").splitlines()[2]
    assert row.startswith("| net (float32) |")
