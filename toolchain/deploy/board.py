"""The agent on a board: its code is brought there once, its commands are run, what it says is read."""

from __future__ import annotations

import getpass
import json
import platform
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import toolchain.agent
from toolchain.agent import ownership
from toolchain.agent.measure.members import list_outside
from toolchain.deploy import loader
from toolchain.deploy.agent_output import parse_answer, read_agent_document, read_agent_output
from toolchain.deploy.channel import Channel
from toolchain.deploy.connection import Connection, lost
from toolchain.deploy.transport import AgentResult, OnProgress
from toolchain.errors import ExitCode, ToolchainError, malformed

# What a POSIX shell exits with where there is no such command, or none that it may execute.
_NO_COMMAND = (126, 127)
# What a Python before 3.4 says of -I, and exits with 2.
_TOO_OLD = "Unknown option: -I"
# Of a shell that greets; a message of the day has a hundred.
_GREETING_LINES_MAX = 10_000
_SHOWN_MAX = 200  # characters of what makes no sense
# What a command on a board does not report (docs/boards.md): 1 is an agent that broke off, 16 is said of a connection.
_NOT_OF_BOARDS = (ExitCode.UNEXPECTED, ExitCode.UNREACHABLE)
# The loader puts the board's absolute folder in its place.
ROOT_ARGUMENT = "{ROOT}"


def read_agent_code() -> bytes:
    """Return the agent's sources as canonical JSON, {path: text}: the same bytes for the same code.

    Metrics and runtimes from outside that this process knows lie among the agent's own there.
    """
    package = Path(toolchain.agent.__file__).parent
    sources = {
        f"agent/{path.relative_to(package).as_posix()}": path.read_bytes().decode("utf-8")
        for path in package.rglob("*.py")
    }
    for module, path in list_outside().items():
        sources[f"{module.removeprefix('toolchain.').replace('.', '/')}.py"] = path.read_bytes().decode("utf-8")
    return json.dumps(sources, sort_keys=True).encode("ascii")


def read_loader() -> str:
    """Return the program that a board's Python is started with."""
    paths = (Path(ownership.__file__), Path(loader.__file__))
    return "".join(path.read_text(encoding="utf-8") for path in paths)


class Board:
    """A board that a connection leads to; entering it connects."""

    def __init__(self, connection: Connection, *, root: str, python: str, stall_s: float) -> None:
        self._connection = connection
        self._root = root
        self._python = python
        self._stall_s = stall_s
        self._code = read_agent_code()

    def __enter__(self) -> Self:
        self._connection.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def place(self) -> str:
        """Where the board is, for people."""
        return self._connection.place

    def run(
        self, command: str, *arguments: str, data: bytes = b"", on_progress: OnProgress | None = None
    ) -> AgentResult:
        """Run a command of the agent, with `data` on its stdin; raises the ToolchainError that it reports."""
        with self.start([command, *arguments], on_progress or _ignore) as channel:
            channel.send([data])
            return read_result(channel)

    def ask(self, command: str, *arguments: str) -> tuple[Mapping[str, Any], ToolchainError | None]:
        """Run a command of the agent that answers with an error and with what is known all the same."""
        with self.start([command, *arguments], _ignore) as channel:
            line, code, stderr = _take_answer(channel, None)
        document = _take_run_id(channel, read_agent_document(code, line, stderr))
        try:
            _read(channel, line, code, stderr)
        except ToolchainError as error:
            return document, error
        return document, None

    @contextmanager
    def start(self, arguments: Sequence[str], on_progress: OnProgress) -> Iterator[Channel]:
        """Start a command of the agent; the block talks with it, and the command ends with the block.

        Raises ToolchainError: exit 11 or 14 the agent's code could not be placed, 12 no Python or one that is too old,
        15 the connection broke.
        """
        run_id = secrets.token_hex(8)
        process = self._connection.start(self._write_command([*arguments, "--run-id", run_id]))
        with Channel(
            process, arguments[0], place=self.place, stall_s=self._stall_s, on_progress=on_progress, run_id=run_id
        ) as channel:
            hello = self._read_hello(channel)
            if hello == "missing":
                channel.check_silence()
                channel.send([self._code])
            elif hello != "there":
                raise malformed(
                    "the board does not say whether it has the agent's code",
                    where=self.place,
                    expected="there or missing",
                    found=ascii(hello[:_SHOWN_MAX]),
                    fix="look at the board: something is in the place of what was started there",
                )
            yield channel

    def _write_command(self, arguments: Sequence[str]) -> str:
        options = [self._root, sha256(self._code).hexdigest(), str(len(self._code)), str(self._stall_s / 3)]
        return "exec " + shlex.join([self._python, "-I", "-B", "-c", read_loader(), *options, *arguments])

    def _read_hello(self, channel: Channel) -> str:
        """Return whether the agent's code is "there" or "missing"; a shell may have written before it."""
        lines = 0
        while (line := channel.read_line()) is not None:
            lines += 1
            if lines > _GREETING_LINES_MAX:
                raise malformed(
                    "the board's shell does not stop talking",
                    where=self.place,
                    expected="the agent's first word",
                    found=f"{lines} lines before it",
                    fix="look at what the account's shell runs at a login",
                )
            document = _parse_line(line)
            if "agent" in document:
                return str(document["agent"])
            if "error" in document:
                read_result(channel, line)
        code, stderr = channel.finish()
        is_too_old = _TOO_OLD in stderr
        if code in _NO_COMMAND or is_too_old:
            raise ToolchainError(
                ExitCode.INCOMPATIBLE,
                "the board has no Python that we can use",
                where=self.place,
                expected=f"a command {self._python}, 3.8 or newer",
                found="one before 3.4" if is_too_old else stderr.rpartition("\n")[2] or "none",
                fix="install python3 on the board, or name another with python = in devices.toml",
            )
        raise lost(self.place, stderr.rpartition("\n")[2] or f"the agent did not start, exit code {code}")


def read_result(channel: Channel, line: bytes | None = None) -> AgentResult:
    """Return the last word of a command: its JSON object, and its exit code. line: that word, if it was read already.

    Raises ToolchainError: what the board reports, exit 15 where it says nothing, 20 where the answer is that of another
    command, 23 where it cannot be read, or is not the last word.
    """
    return _read(channel, *_take_answer(channel, line))


def _take_answer(channel: Channel, line: bytes | None) -> tuple[bytes, int, str]:
    line = channel.read_line() if line is None else line
    code, stderr = channel.finish()
    if not (line or b"").strip():
        raise channel.explain_end(f"the agent ended without a word, with exit code {code}")
    return line or b"", code, stderr


def _read(channel: Channel, line: bytes, code: int, stderr: str) -> AgentResult:
    try:
        result = read_agent_output(code, line, stderr)
    except ToolchainError as error:
        if error.code not in _NOT_OF_BOARDS:
            raise
        raise malformed(
            "the agent on the board broke off",
            where=error.where,
            expected="an answer, or an error of ours",
            found=error.what if error.found is None else f"{error.what}: {error.found}",
            fix="run the command again; if it comes back, look at the board, and report it with what it says",
        ) from error
    return AgentResult(exit_code=result.exit_code, document=_take_run_id(channel, result.document))


def _take_run_id(channel: Channel, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an answer without its run_id; refuse (exit 20) that of another command."""
    told = document.get("run_id", channel.run_id)
    if told != channel.run_id:
        raise ToolchainError(
            ExitCode.INVALID,
            "the board answers another command than the one that was given",
            where="run_id",
            expected=channel.run_id,
            found=repr(told)[:_SHOWN_MAX],
            fix="run the command again; if it comes back, look at the board: it plays back what it said before",
        )
    return {name: value for name, value in document.items() if name != "run_id"}


def describe_caller() -> str:
    """Return who asks, for the board's audit trail."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{platform.node()}"


def _parse_line(line: bytes) -> Mapping[str, Any]:
    try:
        document = parse_answer(line, "stdout")
    except ToolchainError:  # what a shell says
        return {}
    return document if isinstance(document, dict) else {}


def _ignore(step: str, done: int, total: int) -> None:
    """Show nothing."""
