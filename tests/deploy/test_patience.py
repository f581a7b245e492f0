"""A board is waited for as long as it may take for what was asked, and no sign of life moves that for ever."""

import pytest

from toolchain.deploy.patience import Patience
from toolchain.errors import ExitCode, ToolchainError

STALL_S = 30.0


class Clock:
    """A clock that a test sets."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def wait(clock, command="status"):
    return Patience(command, place="here", stall_s=STALL_S, read_clock_s=clock)


def assert_refused(code, act, *arguments):
    with pytest.raises(ToolchainError) as caught:
        act(*arguments)
    assert caught.value.code == code
    assert caught.value.fix
    return caught.value


def live(patience, clock, until_s, step=None):
    """Let time pass, with a sign of life as often as the loader gives one."""
    while clock.now_s < until_s:
        clock.now_s += STALL_S / 3
        patience.note_sign()
        patience.check_time()
        if step is not None:
            step()


def test_what_measures_nothing_answers_within_three_stalls_however_alive_it_is(clock):
    for command in ("facts", "status", "enroll"):
        clock.now_s = 1000.0
        patience = wait(clock, command)
        live(patience, clock, 1000.0 + 2.6 * STALL_S)
        error = assert_refused(ExitCode.CONNECTION_LOST, live, patience, clock, 1000.0 + 3.4 * STALL_S)
        assert "signs of life" in error.found


def test_what_measures_may_build_an_engine_without_a_step(clock):
    patience = wait(clock, "install")
    live(patience, clock, 1000.0 + 900.0 - STALL_S / 3)
    error = assert_refused(ExitCode.CONNECTION_LOST, live, patience, clock, 2000.0)
    assert "no new step" in error.found


@pytest.mark.parametrize(("command", "limit_s"), [("install", 7330.0), ("rollback", 6020.0), ("check", 5400.0)])
def test_steps_do_not_move_the_end_of_the_board_s_own_limits(clock, command, limit_s):
    patience = wait(clock, command)
    live(patience, clock, 1000.0 + limit_s - STALL_S / 3, patience.note_progress)
    error = assert_refused(ExitCode.CONNECTION_LOST, live, patience, clock, 99_999.0, patience.note_progress)
    assert "no answer" in error.found


def test_sending_takes_as_long_as_a_slow_line_and_no_longer(clock):
    patience = wait(clock, "install")
    for _ in range(1000):  # 8 MB at 8 KiB/s
        clock.now_s += 8.0
        patience.note_sent(65536)
        patience.check_time()
    slow = wait(clock, "install")

    def take_slowly():
        for _ in range(1000):
            clock.now_s += 64.0  # 1 KiB/s
            slow.note_sent(65536)
            slow.check_time()

    assert_refused(ExitCode.CONNECTION_LOST, take_slowly)


def test_signs_of_life_come_as_often_as_the_loader_gives_them(clock):
    patience = wait(clock)
    for _ in range(10):  # that waited in the line
        patience.note_sign()
    assert_refused(ExitCode.MALFORMED, patience.note_sign)


def test_a_line_that_does_not_end_is_given_up_after_a_stall(clock):
    for name in ("stdout", "stderr"):
        patience = wait(clock)

        def drip(patience=patience, name=name):
            for _ in range(1000):
                patience.note_came(name, b"x")
                clock.now_s += 1.0

        start_s = clock.now_s
        assert_refused(ExitCode.CONNECTION_LOST, drip)
        assert clock.now_s - start_s <= STALL_S + 2


def test_lines_that_end_may_come_for_as_long_as_they_are_few(clock):
    patience = wait(clock, "install")
    for _ in range(1000):
        patience.note_came("stderr", b"of a line\nthe beginning ")  # each block ends within a line
        clock.now_s += 1.0


def test_an_answer_has_a_size(clock):
    for command, most_bytes in (("status", 1 << 20), ("check", 48 << 20)):
        wait(clock, command).note_came("stdout", bytes(most_bytes))
        assert_refused(ExitCode.MALFORMED, wait(clock, command).note_came, "stdout", bytes(most_bytes + 1))


def test_stderr_has_a_rate_a_size_and_lines_that_end(clock):
    line = b"x" * 1023 + b"\n"
    assert_refused(ExitCode.MALFORMED, wait(clock).note_came, "stderr", b"x" * 65537)
    assert_refused(ExitCode.MALFORMED, wait(clock).note_came, "stderr", line * 9000)
    assert_refused(ExitCode.MALFORMED, wait(clock).note_came, "stderr", b"\n" * 100_001)
    patience = wait(clock, "install")
    for _ in range(64):
        patience.note_came("stderr", line * 1024)
        clock.now_s += 8.0
    assert_refused(ExitCode.MALFORMED, patience.note_came, "stderr", line)


def test_after_its_last_word_a_command_ends(clock):
    patience = wait(clock, "install")
    patience.note_last_word()
    live(patience, clock, 1000.0 + 0.6 * STALL_S)
    patience.note_last_word()
    error = assert_refused(ExitCode.CONNECTION_LOST, live, patience, clock, 9999.0)
    assert "of its answer" in error.found
