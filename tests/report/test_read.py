"""Reading a report again: what was written comes back, anything else is refused in words."""

import json
import os

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.report import write_reports
from toolchain.report.read import read_report


@pytest.fixture
def written(run, tmp_path):
    write_reports(tmp_path, run.report())
    return tmp_path / "report.json"


def refuse(path):
    with pytest.raises(ToolchainError) as caught:
        read_report(path)
    return caught.value


def test_what_was_written_is_read(written, run):
    assert read_report(written) == json.loads(json.dumps(run.report()))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda document: document | {"schema": 2}, "schema 2"),
        (
            lambda document: {key: value for key, value in document.items() if key != "verdict"},
            "verdict: Field required",
        ),
        (lambda document: document | {"verdict": "passed"}, "verdict"),
        (lambda document: document | {"exit_code": "0"}, "exit_code"),
        (lambda document: document["metric"].update(deployed=float("nan")) or document, "NaN"),
        (lambda document: [document], "schema None"),
    ],
)
def test_what_is_no_report_is_refused(written, change, expected):
    written.write_text(json.dumps(change(json.loads(written.read_text()))))
    error = refuse(written)
    assert error.code == ExitCode.MALFORMED
    assert expected in error.found


def test_half_a_file_and_none_and_a_pipe_are_refused(written, tmp_path):
    os.truncate(written, written.stat().st_size // 2)
    assert refuse(written).code == ExitCode.MALFORMED
    assert refuse(tmp_path / "none.json").code == ExitCode.USAGE
    os.mkfifo(tmp_path / "pipe.json")
    assert refuse(tmp_path / "pipe.json").code == ExitCode.USAGE
