"""Opens a file as `toolchain lower` does, in a process of its own, and says how it ended and what it left."""

import contextlib
import hashlib
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.hostile_models.calibration import write_calibration
from tests.hostile_models.family import Maker, write

# Of a bad file, on an idle machine. CPU time counts, since tests run beside others; what waits without working is ended.
CPU_MAX_S = 10.0
# A command that lowers has so much before it opens a model (117 MB, measured). The process of the tests that it is forked
# from may have imported PyTorch, and much more.
_COMMAND_BYTES = 150 * 2**20
MEMORY_MAX_BYTES = 2**30
HANG_S = 120.0
# The machine is not put at risk for a measurement: what takes three times as much is ended.
_MEMORY_END_BYTES = 3 * MEMORY_MAX_BYTES
_POLL_S = 0.02

# What the command would import for each file; here each is forked with all of it.
_MODULES = (
    *("toolchain.cli", "toolchain.pipeline", "toolchain.stages", "toolchain.stages.export", "toolchain.optimize"),
    *("toolchain.lower", "toolchain.graph.file", "toolchain.graph.session", "toolchain.graph.input_defaults"),
    *("toolchain.data.npz", "toolchain.data.feeds", "onnx", "onnxruntime", "onnxsim"),
)
_CANARIES = ("canary.txt", "models/canary.txt", "canaries/canary.txt")
_CANARY = b"nobody may touch this\n"
_OURS = frozenset(
    {"cache", "home", "messages.txt", "models", "out", "temporary", "calib.npz", "canaries", "canary.txt"}
)


class _Memo:
    """What the first run found out of our own sources, which is the same for each."""

    sources: bytes | None = None


@dataclass(frozen=True)
class Ending:
    """How the command ended. memory_bytes: the most that a process of it held, as if a plain command had begun it."""

    code: int
    """Negative: the signal that ended it."""
    messages: str
    cpu_s: float
    memory_bytes: int
    left: tuple[str, ...]
    """What it left where nothing may be: changed canaries, temporary files, parts of results, entries that lie."""

    def find_faults(self, codes: Collection[int]) -> list[str]:
        """Return what is wrong with the ending of a bad file that must end in one of these codes."""
        faults = list(self.left)
        if self.code not in codes:
            faults.append(f"exit code {self.code}, expected one of {sorted(map(int, codes))}")
        if self.cpu_s > CPU_MAX_S:
            faults.append(f"{self.cpu_s:.1f} s of CPU time, expected at most {CPU_MAX_S:g}")
        if self.memory_bytes > MEMORY_MAX_BYTES:
            faults.append(f"{self.memory_bytes / 2**20:.0f} MiB, expected at most {MEMORY_MAX_BYTES / 2**20:.0f}")
        if self.code and "fix: " not in self.messages:
            faults.append("a message without a fix")
        if "Traceback" in self.messages:
            faults.append("a traceback")
        return faults


def lower(make: Maker, folder: Path) -> Ending:
    """Have what a maker makes lowered to int8 in an empty folder."""
    place = folder / "models"
    for name in ("models", "cache", "home", "temporary", "canaries"):
        (folder / name).mkdir()
    for canary in _CANARIES:
        (folder / canary).write_bytes(_CANARY)
    write_calibration(folder / "calib.npz")
    write(make, place / "model.onnx")
    before = _list_files(place)
    for module in _MODULES:
        importlib.import_module(module)
    if _Memo.sources is not None:
        (folder / "cache" / "sources.json").write_bytes(_Memo.sources)
    held_bytes = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    code, usage = _wait(_fork(folder, place))
    if usage is None:
        raise AssertionError("wait4 always tells")
    with contextlib.suppress(FileNotFoundError):
        _Memo.sources = (folder / "cache" / "sources.json").read_bytes()
    messages = (folder / "messages.txt").read_text(encoding="utf-8", errors="replace")
    return Ending(
        code=code,
        messages=messages,
        cpu_s=usage.ru_utime + usage.ru_stime,
        memory_bytes=usage.ru_maxrss * 1024 - held_bytes + _COMMAND_BYTES,
        left=tuple(_find_left(folder, place, before, succeeded=code == 0)),
    )


def _fork(folder: Path, place: Path) -> int:
    """Return the number of a process, first of a group, that runs the command and ends with its exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    number = os.fork()
    if number:
        return number
    code = 99
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        messages = os.open(folder / "messages.txt", os.O_CREAT | os.O_WRONLY)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, source in ((0, nothing), (1, messages), (2, messages)):
            os.dup2(source, descriptor)
        sys.stdout, sys.stderr = (open(descriptor, "w", closefd=False) for descriptor in (1, 2))  # noqa: SIM115
        os.chdir(folder)
        os.environ |= {
            "TOOLCHAIN_CACHE": str(folder / "cache"),
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "temporary"),
        }
        import tempfile

        tempfile.tempdir = None  # read TMPDIR anew
        sys.argv = ["toolchain", "lower", str(place / "model.onnx"), "--target", "cpu", "--precision", "int8"]
        sys.argv += ["--calibration", str(folder / "calib.npz"), "--out", str(folder / "out")]
        from toolchain.cli import create_app
        from toolchain.cli.exits import run_command

        code = run_command(create_app())
    except BaseException:  # noqa: BLE001 - this process must not go on as a test
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(number: int) -> tuple[int, resource.struct_rusage | None]:
    """Wait for the group of a process; end it where it hangs or takes what the machine needs."""
    end_s = time.monotonic() + HANG_S
    while True:
        found, status, usage = os.wait4(number, os.WNOHANG)
        if found:
            break
        if time.monotonic() > end_s or _measure_group(number) > _MEMORY_END_BYTES:
            os.killpg(number, signal.SIGKILL)
            _, status, usage = os.wait4(number, 0)
            break
        time.sleep(_POLL_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)
        return -int(signal.SIGKILL), usage  # something of it was left running
    return os.waitstatus_to_exitcode(status), usage


def _measure_group(number: int) -> int:
    """Return the bytes of memory that a process and those below it hold."""
    total = 0
    with contextlib.suppress(OSError, ValueError):
        total = int(Path(f"/proc/{number}/statm").read_text().split()[1]) * resource.getpagesize()
        for child in Path(f"/proc/{number}/task/{number}/children").read_text().split():
            total += _measure_group(int(child))
    return total


def _list_files(place: Path) -> dict[str, tuple[int, int]]:
    """Return the files of a folder with their size and time: they are somebody's, and only read."""
    return {
        str(path.relative_to(place)): (status.st_size, status.st_mtime_ns)
        for path in place.rglob("*")
        for status in [path.lstat()]
    }


def _find_left(folder: Path, place: Path, before: object, *, succeeded: bool) -> Iterator[str]:
    for canary in _CANARIES:
        if (folder / canary).read_bytes() != _CANARY:
            yield f"changed {canary}"
    if _list_files(place) != before:
        yield "changed the model's folder"
    for path in folder.iterdir():
        if path.name not in _OURS:
            yield f"left {path.name}"
    for path in (folder / "temporary").iterdir():
        yield f"left temporary/{path.name}"
    if not succeeded:
        for path in (folder / "out").glob("*"):
            yield f"left out/{path.name}, which looks like a result"
        for path in (folder / "cache").glob("lower-*/*/entry.json"):
            yield f"left a lowered model in the cache: {path.parent.name}"
    yield from _find_bad_entries(folder / "cache")


def _find_bad_entries(cache: Path) -> Iterator[str]:
    """Yield the entries of the cache that are not what they say. Parts of one that was not finished are none."""
    for path in cache.glob("*/*/entry.json"):
        for name, sha256 in json.loads(path.read_text(encoding="utf-8"))["files"].items():
            if hashlib.sha256((path.parent / name).read_bytes()).hexdigest() != sha256:
                yield f"left an entry of other files than it says: {path.parent.name}"
