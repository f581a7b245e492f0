"""How long a host waits for a board, and how much it takes from it: limits that no sign of life moves for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

from toolchain.agent.install.states import COMMANDS, STATES
from toolchain.deploy.connection import lost
from toolchain.errors import ToolchainError, malformed

# Of what a board says on stdout. Facts and states are some kilobytes. Where it measured, every latency sample is among it:
# 20 s at 5 µs a run, faster than ONNX Runtime is called from Python, are 4 million of 10 bytes.
_ANSWER_BYTES_MAX = 1 << 20
_MEASURED_BYTES_MAX = 48 << 20
# Of stderr: progress, a runtime's warnings, a traceback. A line of progress has 80 bytes.
_LINE_BYTES_MAX = 1 << 16
_NOISE_BYTES_MAX = 64 << 20
_NOISE_AHEAD_BYTES = 8 << 20
_NOISE_BYTES_PER_S = 1 << 17
# One a sample, where samples are run one by one: some 10,000 of each of three payloads.
_LINES_AHEAD = 100_000
_LINES_PER_S = 1000
# Half of what GPRS carries: a connection or a board that takes or gives less does not mean to end.
_RATE_BYTES_PER_S = 4096
# In stall_s. What measures nothing answers in a second; a release of 1 GB, which `status` hashes, in half a minute. What
# measures may build an engine for 900 s (agent/manifest.py, BUILD_LIMIT_S_MAX) without a step that it could tell.
_ANSWER_STALLS = 3
_MEASURED_STALLS = 30
# loader.py gives a sign of life every third of stall_s; these many may have waited in the line.
_SIGNS_AHEAD = 10


class Patience:
    """What one command of a board may take. Every method raises ToolchainError: exit 15 for time, 23 for talk."""

    def __init__(
        self, command: str, *, place: str, stall_s: float, read_clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._place = place
        self._stall_s = stall_s
        self._read_clock_s = read_clock_s
        self._start_s = self._progress_s = read_clock_s()
        measures = command in _LIMITS_S
        self._answer_bytes_max = _MEASURED_BYTES_MAX if measures else _ANSWER_BYTES_MAX
        self._quiet_s = (_MEASURED_STALLS if measures else _ANSWER_STALLS) * stall_s
        self._limit_s = _LIMITS_S.get(command, self._quiet_s)
        self._answer_bytes = self._noise_bytes = self._lines = self._sent_bytes = self._signs = 0
        # Of the line of each pipe that has not ended yet.
        self._line_bytes = {"stdout": 0, "stderr": 0}
        self._line_starts_s = dict.fromkeys(self._line_bytes, self._start_s)
        self._ends_at_s: float | None = None

    def note_sent(self, count_bytes: int) -> None:
        """Take note of bytes that the board took: it may take as long as a slow line, and not longer."""
        self._sent_bytes += count_bytes
        self._progress_s = self._read_clock_s() if count_bytes else self._progress_s

    def note_progress(self) -> None:
        """Take note of a step that moved."""
        self._progress_s = self._read_clock_s()

    def note_last_word(self) -> None:
        """Take note that the board has answered: there is nothing left to do for it."""
        if self._ends_at_s is None:
            self._ends_at_s = self._read_clock_s() + self._stall_s

    def note_sign(self) -> None:
        """Take note of a sign of life; refuse more of them than the loader gives."""
        self._signs += 1
        elapsed_s = self._read_clock_s() - self._start_s
        if self._signs > _SIGNS_AHEAD + elapsed_s / (self._stall_s / 3):
            raise self._refuse(f"a sign of life every {self._stall_s / 3:.3g} s", f"{self._signs} in {elapsed_s:.3g} s")

    def note_came(self, name: str, block: bytes) -> None:
        """Take note of what came on stdout or stderr."""
        count_bytes, begun_bytes = len(block), len(block) - block.rfind(b"\n") - 1
        line_bytes = begun_bytes if begun_bytes < count_bytes else begun_bytes + self._line_bytes[name]
        if name == "stdout":
            self._answer_bytes += count_bytes
            if self._answer_bytes > self._answer_bytes_max:
                raise self._refuse(f"an answer of at most {self._answer_bytes_max >> 20} MiB", "more")
        else:
            self._noise_bytes += count_bytes
            elapsed_s = self._read_clock_s() - self._start_s
            self._lines += block.count(b"\n")
            most_bytes = min(_NOISE_BYTES_MAX, _NOISE_AHEAD_BYTES + int(elapsed_s * _NOISE_BYTES_PER_S))
            is_flood = self._noise_bytes > most_bytes or self._lines > _LINES_AHEAD + elapsed_s * _LINES_PER_S
            if is_flood or line_bytes > _LINE_BYTES_MAX:
                found = f"{self._noise_bytes:,} bytes and {self._lines:,} lines on stderr in {elapsed_s:.3g} s"
                raise self._refuse("progress, and lines that someone may read", found)
        now_s = self._read_clock_s()
        if not self._line_bytes[name] or begun_bytes < count_bytes:
            self._line_starts_s[name] = now_s
        self._line_bytes[name] = line_bytes
        begun_s = self._line_starts_s[name]
        if line_bytes and now_s - begun_s > self._stall_s + line_bytes / _RATE_BYTES_PER_S:
            raise lost(self._place, f"{line_bytes} bytes of a line in {now_s - begun_s:.3g} s, and no end of it")

    def check_time(self) -> None:
        """Refuse a board that took too long for all, or for one step."""
        if self.find_left_s() <= 0:
            raise lost(self._place, f"it gives signs of life, and {self._describe_end()}")

    def find_left_s(self) -> float:
        """Return for how many seconds something may yet come without an end of this command."""
        return min(self._list_ends_s().values()) - self._read_clock_s()

    def _list_ends_s(self) -> dict[str, float]:
        sending_s = self._sent_bytes / _RATE_BYTES_PER_S
        ends_s = {
            f"no answer in {self._limit_s + sending_s:g} s": self._start_s + self._limit_s + sending_s,
            f"no new step in {self._quiet_s:g} s": self._progress_s + self._quiet_s,
        }
        if self._ends_at_s is not None:
            ends_s[f"does not end within {self._stall_s:g} s of its answer"] = self._ends_at_s
        return ends_s

    def _describe_end(self) -> str:
        ends_s = self._list_ends_s()
        return min(ends_s, key=lambda name: ends_s[name])

    def _refuse(self, expected: str, found: str) -> ToolchainError:
        return malformed(
            "the board does not stop talking",
            where=self._place,
            expected=expected,
            found=found,
            fix="look at the board: its agent, or something in its place, says what no answer has",
        )


def _sum_limits_s() -> dict[str, float]:
    # The agent ends each of its states itself; a board on which none of these limits worked is given up.
    limits_s = {command: sum(state.limit_s for state in states) for command, states in COMMANDS.items()}
    hashing = (STATES["verify"], STATES["self_test"], STATES["activate"])
    return {**limits_s, "check": sum(state.limit_s for state in hashing)}


_LIMITS_S = _sum_limits_s()
