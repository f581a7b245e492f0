"""What is confined stays confined: each limit ends the work with exit 23, and the control beside it passes."""

import errno
import io
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.run.confine import confine as watch
from toolchain.run.confine import inside
from toolchain.run.confine.confine import UnexpectedError, confine
from toolchain.run.confine.limits import Limits
from toolchain.run.progress import Progress

MB = 2**20
SMALL = Limits(model_bytes=0, memory_mb=100, step_s=1.0, total_s=60.0)


def run(work, *, limits=SMALL, progress=None, **options):
    shown = progress or Progress(stream=io.StringIO(), quiet=True)
    return confine(work, limits=limits, progress=shown, where="model.onnx", **options)


def refuse(work, **options):
    """Return the error that the work ends with; nothing that it started is left."""
    with pytest.raises(ToolchainError) as caught:
        run(work, **options)
    assert caught.value.code == ExitCode.MALFORMED
    assert caught.value.where == "model.onnx"
    assert caught.value.fix
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    return caught.value


def spin(name="a run of one sample"):
    with inside.step(name):
        while True:
            pass


def test_a_result_comes_back_as_data():
    document = {"layers": ["ü", None, 1.5, float("inf")], "nested": {"deep": [True, 2**60]}}
    assert run(lambda _: document) == document


def test_the_work_runs_in_another_process_and_changes_nothing_in_this_one():
    seen = []
    child = run(lambda _: seen.append(1) or [os.getpid(), os.getsid(0), inside.is_confined()])
    assert child == [child[0], child[0], True]
    assert child[0] != os.getpid()
    assert not seen
    assert not inside.is_confined()


def test_memory_within_the_limit_is_had_and_memory_beyond_it_is_refused():
    assert run(lambda _: int(np.ones(60 * MB, np.uint8).sum())) == 60 * MB
    error = refuse(lambda _: int(np.ones(600 * MB, np.uint8).sum()))
    assert error.what == "the model takes too much memory"
    assert "100 MB" in error.expected
    assert "memory_mb" in error.fix


@pytest.mark.parametrize(("number", "is_memory"), [(errno.ENOMEM, True), (errno.ENOSPC, False)])
def test_the_systems_word_for_no_memory_is_a_refusal_and_others_are_what_they_are(number, is_memory):
    def work(_):
        raise OSError(number, os.strerror(number))

    if is_memory:
        assert refuse(work).what == "the model takes too much memory"
        return
    with pytest.raises(OSError, match="No space") as caught:
        run(work)
    assert caught.value.errno == number


def test_memory_that_grows_bit_by_bit_is_refused_too():
    def grow(_):
        kept = []
        with inside.step("a run of one sample"):
            while True:
                kept.append(np.ones(MB, np.uint8))

    assert "at a run of one sample" in refuse(grow).found or "after a run" in refuse(grow).found


def test_a_model_that_turns_out_larger_may_take_more():
    def work(_):
        inside.grow_limits(model_bytes=100 * MB)
        return int(np.ones(900 * MB, np.uint8)[0])

    assert run(work, limits=Limits(model_bytes=0)) == 1
    refuse(lambda _: int(np.ones(900 * MB, np.uint8)[0]), limits=Limits(model_bytes=0))


def is_had(size_bytes):
    """Whether so much is had of the system: a heap may have some left from before."""
    try:
        with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
            return True
    except OSError:
        return False


def test_a_block_may_have_less_than_the_rest_and_never_more():
    def work(_):
        with inside.limit_memory(20 * MB):
            found = [is_had(10 * MB), is_had(40 * MB)]
        with inside.limit_memory(1000 * MB):
            return [*found, is_had(40 * MB), is_had(600 * MB)]

    assert run(work) == [True, False, True, False]
    with inside.limit_memory(0):
        assert is_had(40 * MB)


def test_a_step_that_does_not_end_is_ended_and_named():
    error = refuse(lambda _: spin("pass simplify"))
    assert error.what == "the model takes too long"
    assert "at pass simplify" in error.found
    assert "1 s for one step" in error.expected
    assert "step_s" in error.fix


def test_steps_that_go_on_may_take_longer_than_one():
    def work(_):
        for _ in range(15):
            with inside.step("a run"):
                time.sleep(0.1)
        return "done"

    assert run(work) == "done"


def test_time_that_is_no_cpu_time_counts_for_less_because_a_machine_may_be_busy():
    def work(_):
        with inside.step("a run"):
            time.sleep(1.5)
        return "done"

    assert run(work) == "done"


def test_a_step_that_sleeps_for_ever_is_ended_too(monkeypatch):
    monkeypatch.setattr(watch, "_IDLE_FACTOR", 2)

    def work(_):
        with inside.step("opening the model"):
            time.sleep(600)

    assert "opening the model" in refuse(work).found


def test_work_that_stands_still_between_steps_is_ended(monkeypatch):
    monkeypatch.setattr(watch, "_OWN_LIMIT_S", 1.0)
    assert refuse(lambda _: time.sleep(600)).what == "the work on the model stands still"


def test_work_that_goes_on_and_on_is_ended():
    def work(_):
        while True:
            with inside.step("a run"):
                time.sleep(0.01)

    error = refuse(work, limits=Limits(model_bytes=0, total_s=0.5))
    assert error.what == "the model takes too long as a whole"
    assert "total_s" in error.fix


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_process_that_a_signal_ends_is_reported_with_its_step(number):
    def work(_):
        with inside.step("opening the model"):
            os.kill(os.getpid(), number)

    found = refuse(work).found
    assert number.name in found
    assert "at opening the model" in found


def test_a_process_that_just_ends_is_no_result():
    assert "no word before the first step" in refuse(lambda _: os._exit(0)).found


def test_an_allocator_that_gives_up_is_told_from_a_crash():
    def work(_):
        os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
        os.abort()

    assert refuse(work).what == "the model takes too much memory"


def test_an_error_of_the_work_is_the_same_here():
    def work(_):
        raise ToolchainError(ExitCode.PARITY, "a", where="b", expected="c", found=None, fix="d")

    with pytest.raises(ToolchainError) as caught:
        run(work)
    assert caught.value.to_dict() == {"code": 18, "what": "a", "where": "b", "expected": "c", "found": None, "fix": "d"}


def test_other_exceptions_are_what_they_would_be_here():
    def lack_module(_):
        import toolchain_of_nobody  # noqa: F401

    with pytest.raises(ModuleNotFoundError) as module:
        run(lack_module)
    assert module.value.name == "toolchain_of_nobody"
    with pytest.raises(FileNotFoundError) as system:
        run(lambda _: Path("/nowhere/at/all").read_bytes())
    assert system.value.filename == "/nowhere/at/all"
    with pytest.raises(UnexpectedError, match="ZeroDivisionError") as unexpected:
        run(lambda _: 1 // 0)
    assert "test_confine.py" in str(unexpected.value)


def test_nesting_beyond_what_python_follows_is_refused():
    def nest(graph):
        return [nest(graph)]

    assert refuse(nest).what == "the model is nested too deep"


@pytest.mark.parametrize(
    "words",
    [
        b"no json\n",
        b'["stage"]\n',
        b'["advance", 7, 1]\n',
        b'["error", {"code": 0, "what": "x"}]\n',
        b'["error", {"code": 23}]\n',
        b'["unheard of"]\n',
        b"[" * 100_000 + b"\n",
        b'{"result": 1}\n',
        b'["result"]\n',
        b"\xff\n",
    ],
)
def test_words_that_are_none_of_ours_are_refused(words, monkeypatch):
    monkeypatch.setattr(watch, "_LEAVE_S", 0.5)  # some of them say that it is about to end

    def work(relay):
        os.write(relay._descriptor, words)
        time.sleep(30)

    assert refuse(work).what == "the process that runs the model answers nonsense"


def test_a_long_result_comes_back_and_one_without_end_is_refused(monkeypatch):
    assert len(run(lambda _: "x" * 5 * MB)) == 5 * MB
    monkeypatch.setattr(watch, "_LINE_MAX_BYTES", MB)
    assert "in a line" in refuse(lambda _: "x" * 5 * MB).found


def test_lines_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(watch, "_TOTAL_MAX_BYTES", MB)

    def work(relay):
        while True:
            relay.tell("x" * 1000)

    assert "in all" in refuse(work).found


def test_progress_passes_through_as_if_it_were_shown_here(tmp_path):
    stream = io.StringIO()

    def work(relay):
        with relay.progress.stage("optimize"):
            advance = relay.progress.steps("passes", 3)
            for _ in range(3):
                advance()
            relay.progress.log("passes", acted=["a"], path=Path("x"))
        with relay.progress.stage("golden", cached=True):
            pass
        relay.progress.note("a word to the user")
        return 1

    with Progress(stream=stream, log_path=tmp_path / "log.jsonl") as progress:
        assert run(work, progress=progress) == 1
    lines = stream.getvalue().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["optimize", "golden", "note"]
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["start", "passes", "end", "start", "end", "note"]
    assert events[1] | {"time": ""} == {
        "time": "", "stage": "optimize", "event": "passes", "acted": ["a"], "path": "x",
    }  # fmt: skip


def test_a_stage_that_the_end_of_the_process_cut_short_has_failed(tmp_path):
    stream = io.StringIO()

    def work(relay):
        with relay.progress.stage("import"), relay.progress.stage("optimize"):
            os.kill(os.getpid(), signal.SIGKILL)

    with Progress(stream=stream, log_path=tmp_path / "log.jsonl") as progress:
        refuse(work, progress=progress)
    assert stream.getvalue().splitlines() == ["optimize: failed", "import: failed"]
    assert "SIGKILL" not in stream.getvalue()
    assert '"failed"' in (tmp_path / "log.jsonl").read_text()


def test_what_is_told_arrives_before_the_end_whatever_that_is():
    told = []

    def work(relay):
        relay.tell(["record", {"name": "import"}])
        os.abort()

    refuse(work, on_told=told.append)
    assert told == [["record", {"name": "import"}]]


def test_what_it_prints_is_shown_printable_and_no_more_than_a_little(capfd):
    stream = io.StringIO()

    def work(_):
        sys.stdout.write("from \x1b[31mpython\n")
        os.write(1, b"from below\n")
        os.write(2, b"\xff\n" + b"y" * 1000 * 1000 + b"\n")
        return sys.stdin.read()

    assert run(work, progress=Progress(stream=stream)) == ""
    first, second, third, rest = stream.getvalue().split("\n", 3)
    assert (first, second, third) == ("from \\x1b[31mpython", "from below", "\ufffd")
    assert len(rest) < 2**16 + 2
    assert capfd.readouterr() == ("", "")


def test_what_it_started_is_gone_with_it(tmp_path):
    def work(_):
        return subprocess.Popen(["sleep", "600"]).pid

    assert is_gone(run(work))
    path = tmp_path / "pid"

    def hang(_):
        path.write_text(str(subprocess.Popen(["sleep", "600"]).pid))
        spin()

    refuse(hang)
    assert is_gone(int(path.read_text()))


def test_its_temporary_files_are_gone_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def work(_):
        import tempfile

        tempfile.mkstemp()
        assert len(list(tmp_path.rglob("tmp*"))) == 1
        os.abort()

    refuse(work)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_parent_that_is_killed_or_interrupted_leaves_no_child(tmp_path, number):
    code = f"""
import io, os, signal, time
from pathlib import Path
from toolchain.run.confine.confine import confine
from toolchain.run.confine.limits import Limits
from toolchain.run.progress import Progress

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell may ignore it

def work(_):
    Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
    time.sleep(600)

confine(work, limits=Limits(model_bytes=0), progress=Progress(stream=io.StringIO()), where="x")
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 60
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    child = int((tmp_path / "pid").read_text())
    assert not is_gone(child, wait_s=0)
    parent.send_signal(number)
    assert parent.wait() == -number
    assert is_gone(child)


def is_gone(pid, wait_s=10.0):
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(0.01)
