from __future__ import annotations

import json
import sys

import pytest

from toolchain import report as report_package
from toolchain.errors import ExitCode, ToolchainError
from toolchain.report import write_reports


def test_a_run_leaves_four_files_and_nothing_else(run, tmp_path):
    write_reports(tmp_path / "new" / "out", run.report(), run.samples)
    out = tmp_path / "new" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["junit.xml", "report.html", "report.json", "summary.md"]
    assert json.loads((out / "report.json").read_text(encoding="utf-8")) == run.report()
    assert "<svg" in (out / "report.html").read_text(encoding="utf-8")


def test_a_second_run_replaces_the_first(run, failed_run, tmp_path):
    write_reports(tmp_path, run.report(), run.samples)
    write_reports(tmp_path, failed_run.report())
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["verdict"] == "fail"
    assert "PASS" not in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("samples", [{"reference": ["slow"], "int8": [1.0]}, {"reference": [-1.0], "int8": [1.0]}])
def test_samples_that_cannot_be_drawn_do_not_hide_the_verdict(failed_run, tmp_path, samples):
    write_reports(tmp_path, failed_run.report(), samples)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "FAIL" in page
    assert "could not be drawn" in page
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["exit_code"] == 18


def test_a_broken_drawing_library_does_not_hide_the_verdict(run, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "toolchain.report.latency_figures", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_reports(tmp_path, run.report(), run.samples)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "PASS" in page
    assert (
        "could not be drawn: matplotlib is not installed: python -m pip install &#39;edge-toolchain[build]&#39;" in page
    )


def test_an_out_folder_that_is_a_file_is_a_storage_error(run, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(ToolchainError) as caught:
        write_reports(tmp_path / "out", run.report())
    assert caught.value.code is ExitCode.STORAGE


@pytest.mark.parametrize("file", ["report.json", "junit.xml", "summary.md", "report.html"])
def test_a_failed_write_leaves_no_report_since_the_command_does_not_end_with_the_verdict(
    run, tmp_path, monkeypatch, file
):
    write_reports(tmp_path, run.report())
    write = report_package.write_atomically

    def fail(path, content):
        if path.name == file:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(report_package, "write_atomically", fail)
    with pytest.raises(ToolchainError) as caught:
        write_reports(tmp_path, run.report())
    assert caught.value.code is ExitCode.STORAGE
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_the_page_is_drawn_leaves_no_report(run, tmp_path, monkeypatch):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(report_package, "_render_page", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_reports(tmp_path, run.report())
    assert list(tmp_path.iterdir()) == []
