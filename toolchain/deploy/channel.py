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
from toolchain.deploy.transport import OnProgress
from toolchain.errors import malformed

_BLOCK_BYTES = 1 << 16
_END_S = 10
# Every latency sample of an answer is among it, 20 bytes each: below a tenth of this at --latency-samples 100000.
_ANSWER_BYTES_MAX = 64 << 20
# A line of stderr is a sign of progress, or of a traceback.
_LINE_BYTES_MAX = 1 << 20


class Channel:
    """A command that runs on the board.

    Every method raises ToolchainError (exit 15) when the connection breaks, or when for `stall_s` seconds nothing
    came and nothing could be sent. Leaving the block ends the command, here and (its stdin closes) on the board.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], *, place: str, stall_s: float, on_progress: OnProgress
    ) -> None:
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise ValueError("the process needs three pipes")
        self._process = process
        self._place = place
        self._stall_s = stall_s
        self._stderr = StderrReader(on_progress)
        self._stdin: IO[bytes] = process.stdin
        self._names = {process.stdout.fileno(): "stdout", process.stderr.fileno(): "stderr"}
        self._buffers = {"stdout": bytearray(), "stderr": bytearray()}
        self._came_bytes = 0
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

    def read_line(self) -> str | None:
        """Return the next line of the command's stdout; None where it ended without one."""
        searched_bytes = 0
        while b"\n" not in self._buffers["stdout"][searched_bytes:]:
            if "stdout" not in self._names.values():
                return None
            searched_bytes = len(self._buffers["stdout"])
            self._pump(None)
        line, _, self._buffers["stdout"] = self._buffers["stdout"].partition(b"\n")
        return line.decode("utf-8", "replace")

    def finish(self) -> tuple[int, str, str]:
        """Wait for the end and return the command's exit code, the rest of its stdout, the end of its stderr."""
        while self._names:
            self._pump(None)
        try:
            return_code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired as error:
            raise lost(self._place, "ssh does not end") from error
        if self._buffers["stderr"]:
            self._stderr.add_line(self._buffers["stderr"].decode("utf-8", "replace"))
        if return_code == SSH_FAILED or return_code < 0:
            raise lost(self._place, self._stderr.others.rpartition("\n")[2] or "the session ended")
        return return_code, self._buffers["stdout"].decode("utf-8", "replace"), self._stderr.others

    def _pump(self, outgoing: memoryview | None) -> int:
        """Wait until something can be read or written, do it, and return how many bytes were written."""
        start_s = time.monotonic()
        ready = self._selector.select(self._stall_s)
        if not ready and time.monotonic() - start_s >= self._stall_s:
            raise lost(self._place, f"no sign of life for {self._stall_s:g} s")
        written = 0
        for key, _ in ready:
            if key.fd == self._stdin.fileno():
                written = self._write(outgoing)
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
        self._buffers[name] += block
        self._came_bytes += len(block) if name == "stdout" else 0
        if self._came_bytes > _ANSWER_BYTES_MAX or len(self._buffers["stderr"]) > _LINE_BYTES_MAX:
            raise malformed(
                "the board does not stop talking",
                where=self._place,
                expected=f"an answer of at most {_ANSWER_BYTES_MAX >> 20} MiB",
                found="more",
                fix="look at the board: its agent, or something in its place, says what no answer has",
            )
        if not block:
            self._selector.unregister(descriptor)
            del self._names[descriptor]
        elif name == "stderr":
            *lines, self._buffers[name] = self._buffers[name].split(b"\n")
            for line in lines:
                self._stderr.add_line(line.decode("utf-8", "replace"))
