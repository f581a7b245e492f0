"""A reader of outside bytes, and what must hold of it whatever the bytes are."""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import ExitCode, ToolchainError

# Ends a reader that hangs; no reader that works takes a hundredth of it.
HANG_S = 60

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = frozenset(
    {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}
)


@dataclass(frozen=True)
class Reader:
    """What reads bytes that nobody vouches for.

    `read` takes the bytes and a folder that is empty and its own; each of the `seeds` it takes without an error. `codes`
    are the exit codes of its refusals.
    """

    name: str
    read: Callable[[bytes, Path], object]
    seeds: Sequence[bytes]
    codes: frozenset[ExitCode] = frozenset({ExitCode.USAGE, ExitCode.MALFORMED})
    is_slow: bool = False
    """Takes a process or more for each example."""


class Broken(Exception):  # noqa: N818 - what is said of a reader, not an error of a caller
    """A reader that did something else than to return a value or to refuse."""


def read(reader: Reader, data: bytes, folder: Path, *, hang_s: float = HANG_S) -> None:
    """Let a reader read; raises Broken where it hangs, raises what it must not, or writes outside of the folder."""
    try:
        with _watch_writes(folder) as outside:
            _run_limited(lambda: reader.read(data, folder), hang_s)
    except ToolchainError as error:
        if error.code not in reader.codes:
            raise Broken(f"{reader.name} refuses with exit code {int(error.code)}: {error}") from error
        if any("\ud800" <= letter <= "\udfff" for letter in str(error)):  # half of a surrogate pair
            raise Broken(f"{reader.name} says what cannot be printed: {error!r}") from error
    except Exception as error:
        raise Broken(f"{reader.name}: {type(error).__name__}: {str(error)[:200]}") from error
    if outside:
        raise Broken(f"{reader.name} writes outside of its folder: {outside[0]}")


def _run_limited(run: Callable[[], object], limit_s: float) -> None:
    """Run it, and raise TimeoutError in it where it takes longer; what its callers hold is not interrupted.

    The alarm may ring at any moment until it is switched off. Raised in the exit of a context manager, it would leave that one
    to a later garbage collection, which would then switch off, or give to the default action, an alarm of somebody else's.
    """
    is_running = True

    def stop(number: int, frame: object) -> None:
        if is_running:
            raise TimeoutError(f"no end after {limit_s} s")

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        run()
    finally:
        is_running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _Watch:
    """Python's audit hook, which once added stays for the life of the process."""

    folder: str | None = None
    outside: list[str] = []  # noqa: RUF012 - one process, one hook
    is_added = False

    @classmethod
    def audit(cls, event: str, arguments: tuple[object, ...]) -> None:
        if cls.folder is None:
            return
        is_write = event == "open" and isinstance(arguments[2], int) and bool(arguments[2] & _WRITES)
        if not is_write and event not in _CHANGES:
            return
        paths = arguments[:2] if event in ("os.rename", "os.link") else arguments[:1]
        for path in paths:
            if isinstance(path, str | bytes | os.PathLike):
                text = os.fsdecode(path)
                # One name is relative to a folder that is open, or lands in the working folder, which is looked at.
                is_name = "/" not in text and text not in (os.curdir, os.pardir)
                if not is_name and not os.path.abspath(text).startswith((cls.folder, "/dev/null")):  # noqa: PTH100 - resolve() would ask the disk
                    cls.outside.append(f"{event} {text}")


@contextlib.contextmanager
def _watch_writes(folder: Path) -> Iterator[list[str]]:
    if not _Watch.is_added:
        sys.addaudithook(_Watch.audit)
        _Watch.is_added = True
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        _Watch.folder, _Watch.outside = str(folder.absolute()), []
        try:
            yield _Watch.outside
        finally:
            _Watch.folder = None
            _Watch.outside += [f"makes {path.name} in the working folder" for path in Path(empty).iterdir()]
