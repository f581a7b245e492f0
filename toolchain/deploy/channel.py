"""The pipes of one command on the board: written and read together, and given up when the board falls silent."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Iterable
from types import TracebackType
from typing import IO, Self

from toolchain.deploy.agent_output import StderrReader
from toolchain.deploy.connection import SSH_FAILED, lost
from toolchain.deploy.patience import Patience
from toolchain.deploy.transport import OnProgress
from toolchain.errors import ToolchainError, malformed

_BLOCK_BYTES = 1 << 16
_END_S = 10
_SHOWN_MAX = 200  # characters of what makes no sense


class Channel:
    """A command that runs on the board.

    Every method raises ToolchainError: exit 15 when the connection breaks, when for `stall_s` seconds nothing came and
    nothing could be sent, and when the command takes longer than any may (patience.py); exit 23 when it says more, or
    what no agent says. Leaving the block ends the command, here and (its stdin closes) on the board.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        command: str,
        *,
        place: str,
        stall_s: float,
        on_progress: OnProgress,
        run_id: str | None = None,
    ) -> None:
        """`command` is the agent's, for its limits; `run_id` is what tells its answer from those of earlier commands."""
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("the process needs three pipes")
        self._process = process
        self._place = place
        self._stall_s = stall_s
        self.run_id = run_id
        self._patience = Patience(command, place=place, stall_s=stall_s)
        self._stderr = StderrReader(on_progress, self._patience)
        self._stdin: IO[bytes] = process.stdin
        self._names = {process.stdout.fileno(): "stdout", process.stderr.fileno(): "stderr"}
        self._buffers = {"stdout": bytearray(), "stderr": bytearray()}
        self._selector = selectors.DefaultSelector()
        for pipe in (process.stdout, process.stderr):
            self._selector.register(pipe.fileno(), selectors.EVENT_READ)
        os.set_blocking(self._stdin.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._process.wait()

    def send(self, blocks: Iterable[bytes]) -> int:
        """Send bytes and return how many were taken; fewer where the command has ended, whose last word says why."""
        sent_bytes = 0
        self._selector.register(self._stdin.fileno(), selectors.EVENT_WRITE)
        try:
            for block in blocks:
                rest = memoryview(block)
                while rest:
                    written = self._pump(rest)
                    sent_bytes += written
                    rest = rest[written:]
                    if not self._names:
                        return sent_bytes
        except BrokenPipeError:
            pass
        finally:
            self._selector.unregister(self._stdin.fileno())
        return sent_bytes

    def read_line(self) -> bytes | None:
        """Return the next line of the command's stdout; None where it ended without one."""
        buffer = self._buffers["stdout"]
        searched_bytes = 0
        while (end := buffer.find(b"\n", searched_bytes)) < 0:
            if "stdout" not in self._names.values():
                return None
            searched_bytes = len(buffer)
            self._pump(None)
        with memoryview(buffer) as view:
            line = bytes(view[:end])
        del buffer[: end + 1]
        return line

    def has_said(self) -> bool:
        """Return whether the board has said something that nobody has read."""
        while self._names and self._selector.select(0):
            self._pump(None)
        return bool(self._buffers["stdout"].strip())

    def check_silence(self) -> None:
        """Refuse (exit 23) a board that said more than it was asked, or answers before it was asked."""
        if self.has_said():
            said = self._buffers["stdout"].strip()
            raise malformed(
                "the board says more than it was asked",
                where=self._place,
                expected="one answer to each question, after it",
                found=ascii(said[:_SHOWN_MAX].decode("utf-8", "replace")),
                fix="look at the board: its agent, or something in its place, does not keep to the protocol",
            )

    def finish(self) -> tuple[int, str]:
        """Wait for the end, and return the command's exit code and the end of its stderr; refuse (exit 23) more words."""
        self._patience.note_last_word()
        while self._names:
            self._pump(None)
        self.check_silence()
        try:
            return_code = self._process.wait(min(_END_S, self._stall_s))
        except subprocess.TimeoutExpired as error:
            raise lost(self._place, "ssh does not end") from error
        if self._buffers["stderr"]:
            self._stderr.add_line(self._buffers["stderr"].decode("utf-8", "replace"))
        if return_code == SSH_FAILED or return_code < 0:
            raise self.explain_end("the session ended")
        return return_code, self._stderr.others

    def explain_end(self, otherwise: str) -> ToolchainError:
        """Return the error (exit 15) for a command that ended too early: its last words on stderr, if there are any."""
        return lost(self._place, self._stderr.others.rpartition("\n")[2] or otherwise)

    def _pump(self, outgoing: memoryview | None) -> int:
        """Wait until something can be read or written, do it, and return how many bytes were written."""
        self._patience.check_time()
        start_s = time.monotonic()
        ready = self._selector.select(min(self._stall_s, self._patience.find_left_s()))
        if not ready and time.monotonic() - start_s >= self._stall_s:
            raise lost(self._place, f"no sign of life for {self._stall_s:g} s")
        written = 0
        for key, _ in ready:
            if key.fd == self._stdin.fileno():
                written = self._write(outgoing)
                self._patience.note_sent(written)
            else:
                self._read(key.fd)
        return written

    def _write(self, outgoing: memoryview | None) -> int:
        if outgoing is None:
            return 0
        try:
            return os.write(self._stdin.fileno(), outgoing[:_BLOCK_BYTES])
        except BlockingIOError:
            return 0

    def _read(self, descriptor: int) -> None:
        name = self._names[descriptor]
        block = os.read(descriptor, _BLOCK_BYTES)
        if not block:
            self._selector.unregister(descriptor)
            del self._names[descriptor]
            return
        self._patience.note_came(name, block)
        buffer = self._buffers[name]
        buffer += block
        if name == "stderr" and b"\n" in block:
            lines, _, rest = bytes(buffer).rpartition(b"\n")
            buffer[:] = rest
            for line in lines.split(b"\n"):
                self._stderr.add_line(line.decode("utf-8", "replace"))
