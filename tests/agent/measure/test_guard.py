import os
import signal
import subprocess
import sys

import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure import guard

# In a process of its own, which alone it may end.
ENDLESS = """
import time
from toolchain.agent.measure import guard
guard.CALL_LIMIT_S, guard._AGAIN_S = 0.05, 0.01
with guard.guard_call("metric", "within_two"):
    while True:
        try:
            while True:
                time.sleep(0.001)
        except CAUGHT:
            pass
"""


def run_endless(caught):
    """Run a call that never ends and catches these exceptions; return its exit code and what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ENDLESS.replace("CAUGHT", caught)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr


def refuse(call):
    with pytest.raises(ToolchainError) as caught, guard.guard_call("metric", "within_two"):
        call()
    assert caught.value.fix
    return caught.value


def test_what_returns_goes_on_and_its_prints_are_no_answer(capsys):
    with guard.guard_call("metric", "within_two"):
        sys.stdout.write('{"verdict": "pass"}\n')
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", '{"verdict": "pass"}\n')


@pytest.mark.parametrize("code", [None, 0, 1, "done"])
def test_what_ends_the_process_is_an_error_and_no_end(code):
    assert refuse(lambda: sys.exit(code)).code == ExitCode.USAGE


def test_what_raises_is_told_as_it_is():
    with pytest.raises(ZeroDivisionError), guard.guard_call("metric", "within_two"):
        raise ZeroDivisionError


def test_what_does_not_end_is_ended_even_where_it_catches_exceptions():
    code, printed = run_endless("Exception")
    assert code == 1  # a traceback: nobody catches the error here
    assert "ToolchainError: usage: the metric within_two does not end" in printed
    assert "\n  fix: " in printed


def test_what_catches_everything_ends_with_its_process():
    assert run_endless("BaseException") == (ExitCode.USAGE, "the metric within_two does not end\n")


def test_an_alarm_that_rings_late_interrupts_nothing_and_none_is_left_behind():
    before = signal.getsignal(signal.SIGALRM)
    with guard.guard_call("metric", "within_two"):
        ring = signal.getsignal(signal.SIGALRM)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= guard.CALL_LIMIT_S
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    for _ in range(guard._RINGS_MAX + 1):
        ring(signal.SIGALRM, None)
