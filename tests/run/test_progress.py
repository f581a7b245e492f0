from __future__ import annotations

import io
import json
import re
from contextlib import suppress
from datetime import datetime
from io import FileIO
from pathlib import Path

import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.run.progress import LINE_INTERVAL_S, Progress, show_steps

# Writing to it always fails as on a full disk: full(4).
FULL = Path("/dev/full")


class Clock:
    """A clock that a test sets, in seconds."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def read_log(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_stage_logs_its_start_and_its_end_with_the_duration(tmp_path):
    clock = Clock()
    with (
        Progress(stream=io.StringIO(), log_path=tmp_path / "log.jsonl", read_clock_s=clock) as progress,
        progress.stage("export"),
    ):
        progress.log("parity", sqnr_db=61.5, path=tmp_path)
        clock.now_s += 2.5
    start, parity, end = read_log(tmp_path / "log.jsonl")
    assert (start["stage"], start["event"]) == ("export", "start")
    assert (parity["stage"], parity["event"], parity["sqnr_db"]) == ("export", "parity", 61.5)
    assert parity["path"] == str(tmp_path)
    assert (end["event"], end["duration_s"], end["cached"]) == ("end", 2.5, False)


def test_the_time_of_an_event_is_utc_in_iso_8601(tmp_path):
    with Progress(stream=io.StringIO(), log_path=tmp_path / "log.jsonl") as progress:
        progress.log("hello")
    (event,) = read_log(tmp_path / "log.jsonl")
    assert event["time"].endswith("Z")
    assert datetime.fromisoformat(event["time"]).utcoffset().total_seconds() == 0
    assert event["stage"] is None


def test_an_event_is_in_the_file_at_once(tmp_path):
    with Progress(stream=io.StringIO(), log_path=tmp_path / "log.jsonl") as progress:
        progress.log("hello")
        assert len(read_log(tmp_path / "log.jsonl")) == 1


def test_a_run_begins_its_log_anew(tmp_path):
    for _ in range(2):
        with Progress(stream=io.StringIO(), log_path=tmp_path / "log.jsonl") as progress:
            progress.log("hello")
    assert len(read_log(tmp_path / "log.jsonl")) == 1


def test_a_failed_stage_is_logged_and_its_error_passes_through(tmp_path):
    stream = io.StringIO()
    with (
        pytest.raises(ValueError, match="broken"),
        Progress(stream=stream, log_path=tmp_path / "log.jsonl") as progress,
        progress.stage("lower"),
    ):
        raise ValueError("broken")
    _, failed = read_log(tmp_path / "log.jsonl")
    assert (failed["event"], failed["error"]) == ("failed", "broken")
    assert "lower: failed" in stream.getvalue()


def test_after_a_stage_events_belong_to_the_outer_one(tmp_path):
    with Progress(stream=io.StringIO(), log_path=tmp_path / "log.jsonl") as progress, progress.stage("lower"):
        with progress.stage("calibrate"):
            pass
        progress.log("between")
    assert next(event for event in read_log(tmp_path / "log.jsonl") if event["event"] == "between")["stage"] == "lower"


def test_a_cached_stage_says_so(tmp_path):
    stream = io.StringIO()
    with Progress(stream=stream, log_path=tmp_path / "log.jsonl") as progress, progress.stage("export", cached=True):
        pass
    assert stream.getvalue() == "export: cached\n"
    assert all(event["cached"] for event in read_log(tmp_path / "log.jsonl"))


def test_plain_lines_come_at_most_once_an_interval():
    clock, stream = Clock(), io.StringIO()
    with Progress(stream=stream, read_clock_s=clock) as progress:
        advance = progress.steps("calibrate", 100)
        for _ in range(100):
            clock.now_s += LINE_INTERVAL_S / 10
            advance()
    lines = stream.getvalue().splitlines()
    assert 9 <= len(lines) <= 10
    assert lines[0].startswith("calibrate: ")
    assert lines[0].endswith("/100")
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("step", [1, 7])
def test_a_counter_that_was_shown_ends_at_its_total(step):
    clock, stream = Clock(), io.StringIO()
    with Progress(stream=stream, read_clock_s=clock) as progress, progress.stage("lower"):
        advance = progress.steps("calibrate", 14)
        for _ in range(14 // step):
            clock.now_s += LINE_INTERVAL_S * 0.4 * step
            advance(step)
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if line.startswith("calibrate")][-1] == "calibrate: 14/14"
    assert lines.count("calibrate: 14/14") == 1


def test_a_counter_that_ends_early_says_so_as_its_stage_ends_and_one_of_a_failed_stage_does_not():
    clock, stream = Clock(), io.StringIO()
    with Progress(stream=stream, read_clock_s=clock) as progress:
        with progress.stage("lower"):
            for name in ("measure", "search", "silent"):
                advance = progress.steps(name, 100)
                clock.now_s += LINE_INTERVAL_S * (name != "silent")
                advance(60)
        with suppress(KeyError), progress.stage("verify"):
            advance = progress.steps("run", 100)
            clock.now_s += LINE_INTERVAL_S
            advance(60)
            raise KeyError
    assert stream.getvalue().splitlines() == [
        "measure: 60/100",
        "search: 60/100",
        "measure: ended after 60 of 100",
        "search: ended after 60 of 100",
        "lower: 6.0 s",
        "run: 60/100",
        "verify: failed",
    ]


def test_a_short_loop_off_a_terminal_shows_nothing():
    stream = io.StringIO()
    with Progress(stream=stream, read_clock_s=Clock()) as progress:
        advance = progress.steps("calibrate", 3)
        for _ in range(3):
            advance()
    assert stream.getvalue() == ""


def test_steps_can_be_counted_several_at_once():
    clock, stream = Clock(), io.StringIO()
    with Progress(stream=stream, read_clock_s=clock) as progress:
        advance = progress.steps("evaluate", 64)
        clock.now_s += LINE_INTERVAL_S
        advance(32)
    assert stream.getvalue() == "evaluate: 32/64\n"


def test_a_terminal_gets_a_bar_that_is_gone_when_the_stage_ends():
    stream = Terminal()
    with Progress(stream=stream) as progress:
        with progress.stage("lower"):
            advance = progress.steps("calibrate", 2)
            advance()
            advance()
        shown = stream.getvalue()
    assert "calibrate" in shown
    assert "\x1b[?25l" in shown  # the cursor is hidden under the bar
    assert "\x1b[?25h" in shown  # and comes back
    assert re.search(r"lower: \d+\.\d s\n$", shown)


def test_a_bar_is_gone_after_an_error():
    stream = Terminal()
    progress = Progress(stream=stream)
    with pytest.raises(KeyboardInterrupt), progress, progress.stage("lower"):
        raise KeyboardInterrupt
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["pipe", "terminal"])
def test_a_quiet_run_shows_nothing_and_logs_all(stream, tmp_path):
    clock = Clock()
    with (
        Progress(stream=stream, log_path=tmp_path / "log.jsonl", quiet=True, read_clock_s=clock) as progress,
        progress.stage("lower"),
    ):
        advance = progress.steps("calibrate", 1)
        clock.now_s += 2 * LINE_INTERVAL_S
        advance()
    assert stream.getvalue() == ""
    assert [event["event"] for event in read_log(tmp_path / "log.jsonl")] == ["start", "end"]


def test_a_log_in_a_folder_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(ToolchainError) as caught:
        Progress(stream=io.StringIO(), log_path=tmp_path / "missing" / "log.jsonl")
    assert caught.value.code is ExitCode.STORAGE
    assert "log.jsonl" in str(caught.value)


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_a_storage_error_and_no_other_error_follows():
    progress = Progress(stream=io.StringIO(), log_path=FULL)
    with pytest.raises(ToolchainError) as caught, progress:
        progress.log("hello")
    assert caught.value.code is ExitCode.STORAGE
    assert "/dev/full" in str(caught.value)


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_log_that_cannot_be_written_does_not_hide_why_a_stage_failed(monkeypatch, tmp_path):
    progress = Progress(stream=io.StringIO(), log_path=tmp_path / "log.jsonl")
    stage = progress.stage("lower")
    stage.__enter__()
    monkeypatch.setattr(progress, "_log", FileIO(FULL, "w"))
    error = ValueError("broken")
    assert stage.__exit__(ValueError, error, None) is False  # neither swallowed nor replaced


def test_a_step_that_begins_again_counts_to_its_total_again_and_never_beyond():
    clock, stream = Clock(), io.StringIO()
    with Progress(stream=stream, read_clock_s=clock) as progress:
        show = show_steps(progress)
        for done in (40, 100, 100, 0, 60, 100, 130):
            clock.now_s += LINE_INTERVAL_S
            show("latency", done, 100)
    assert stream.getvalue().splitlines() == ["latency: 100/100", "latency: 60/100", "latency: 100/100"]
