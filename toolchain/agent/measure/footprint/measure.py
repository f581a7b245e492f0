"""Starts fresh processes that load a payload and run it, and reads what each took."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

import numpy as np

from ...clock import read_monotonic_ns
from ...decode import clip
from ...manifest import Manifest
from ...temporary import TemporaryFolder
from .. import runtimes
from ..golden import GoldenArrays
from ..members import list_outside
from ..session import BuildRequest
from . import process
from .figures import Footprint, FreshRun, find_largest_batch
from .job import LARGEST, USUAL, encode_build, encode_frame, encode_line

# Of the first process, whose peak is asked for: as many as take about a second, spread over the evaluation set. A second run
# may take more than the first, when a runtime plans its memory by what the first one took.
_RUNS_MIN, _RUNS_MAX, _RUNS_MS = 4, 256, 1000.0
_LARGEST_RUNS = 2
# Of a payload that does not end; whoever starts the agent has a limit of its own, which is shorter.
_ALARM_S = 900
# Isolated, as the agent; it ends with this process (PR_SET_PDEATHSIG, prctl(2)), and finds modules where this one does.
_START = """
import ctypes, importlib, importlib.util, json, os, signal, sys
signal.alarm(int(sys.argv[1]))
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
job = json.loads(sys.argv[2])
sys.path[:] = job["path"]
import numpy
sys.pycache_prefix, sys.dont_write_bytecode = job["bytecode"], False
top, folder = job["top"], job["folder"]
spec = importlib.util.spec_from_file_location(top, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
sys.modules[top] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[top])
importlib.import_module(job["module"]).main()
"""


@dataclass(frozen=True)
class Subject:
    """What is loaded: a payload, by a runtime on some threads, pinned or not; `build` where that builds an engine of it."""

    runtime: str
    path: Path
    threads: int
    build: Optional[BuildRequest]
    pins_threads: bool = False


def measure_footprint(
    subject: Subject,
    manifest: Manifest,
    golden: GoldenArrays,
    *,
    batch: int,
    is_batch_fixed: bool,
    run_ms: Optional[float],
    processes: int,
    on_progress: Callable[[int, int], None],
) -> Footprint:
    """Return what `processes` fresh processes took, one after another.

    The first one brings the files into the page cache and runs most, the largest batch too; the others tell the time of a
    start. What goes wrong in one is the footprint's failure: a gate that nobody asked for stops no verdict.

    Args:
        subject: what is loaded.
        manifest: of the bundle.
        golden: whose samples are run.
        batch: that latency is measured with.
        is_batch_fixed: whether the payload takes no other.
        run_ms: how long a run takes; None is unknown.
        processes: how many are started.
        on_progress: gets (processes done, all).
    """
    largest = batch if is_batch_fixed else max(batch, find_largest_batch(manifest.gates.limits, golden.samples))
    found: List[FreshRun] = []
    with TemporaryFolder() as folder:
        for number in range(processes):
            frames = _list_frames(golden, batch, largest, run_ms) if number == 0 else _list_few(golden, batch)
            try:
                run = _start_one(subject, frames, folder, is_largest_usual=largest == batch)
            except (OSError, ValueError) as error:
                failure = clip(str(error) or type(error).__name__)
                return Footprint(batch=batch, largest_batch=largest, runs=tuple(found), failure=failure)
            found.append(run)
            on_progress(number + 1, processes)
    return Footprint(batch=batch, largest_batch=largest, runs=tuple(found))


def _list_frames(
    golden: GoldenArrays, batch: int, largest: int, run_ms: Optional[float]
) -> Iterator[Tuple[str, Mapping[str, Any]]]:
    """Yield what the first process runs: samples from all over the set, then the largest batch."""
    wanted = _RUNS_MIN if not run_ms else int(min(_RUNS_MAX, max(_RUNS_MIN, _RUNS_MS / run_ms)))
    batches = max(1, golden.samples // batch)
    count = max(_RUNS_MIN, min(wanted, batches))
    for number in range(count):
        start = (number * batches // count) * batch
        yield USUAL, _read(golden, start, batch)
    if largest > batch:
        for number in range(_LARGEST_RUNS):
            start = number * largest
            yield LARGEST, _read(golden, start if start + largest <= golden.samples else 0, largest)


def _list_few(golden: GoldenArrays, batch: int) -> Iterator[Tuple[str, Mapping[str, Any]]]:
    for _ in range(2):
        yield USUAL, _read(golden, 0, batch)


def _read(golden: GoldenArrays, start: int, count: int) -> Mapping[str, Any]:
    """Return the inputs of some samples; where there are too few, they come again."""
    stop = min(start + count, golden.samples)
    feeds = golden.read_inputs(start, stop)
    if golden.stacked or stop - start == count:
        return feeds
    times = -(-count // (stop - start))
    return {name: np.concatenate([array] * times)[:count] for name, array in feeds.items()}


def _start_one(
    subject: Subject, frames: Iterator[Tuple[str, Mapping[str, Any]]], folder: Path, *, is_largest_usual: bool
) -> FreshRun:
    """Return what one process took; raises OSError or ValueError where it did not get to its end."""
    job = {
        "runtime": subject.runtime,
        "path": str(subject.path.absolute()),
        "threads": subject.threads,
        "pins_threads": subject.pins_threads,
        "build": None if subject.build is None else encode_build(subject.build),
        "members": _list_members(),
    }
    first = b"".join([encode_line(job), *encode_frame(*next(frames))])
    command = [sys.executable, "-I", "-B", "-c", _START, str(_ALARM_S), json.dumps(_describe_place(folder))]
    start_ns = read_monotonic_ns()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            _feed(child, first, frames)
            stdout = child.stdout.read() if child.stdout is not None else b""
            return_code = child.wait()
        finally:
            child.kill()
    document = _read_answer(return_code, stdout)
    if not start_ns < document["loading_ns"] < document["answered_ns"]:
        message = "its clock is not that of the process which started it"
        raise ValueError(message)
    largest = "" if is_largest_usual else "largest_"
    return FreshRun(
        start_ms=(document["answered_ns"] - start_ns) / 1e6,
        load_ms=(document["answered_ns"] - document["loading_ns"]) / 1e6,
        waited_ms=None if document["waited_ns"] is None else document["waited_ns"] / 1e6,
        runs=document["runs"],
        peak_bytes=document["peak_bytes"],
        device_peak_bytes=document["device_peak_bytes"],
        largest_peak_bytes=document[f"{largest}peak_bytes"],
        largest_device_peak_bytes=document[f"{largest}device_peak_bytes"],
        unknown=tuple(document["unknown"]),
    )


def _feed(child: "subprocess.Popen[bytes]", first: bytes, frames: Iterator[Tuple[str, Mapping[str, Any]]]) -> None:
    if child.stdin is None:
        return
    try:
        with child.stdin as pipe:
            pipe.write(first)
            pipe.flush()
            for kind, feeds in frames:
                for part in encode_frame(kind, feeds):
                    pipe.write(part)
    except BrokenPipeError:  # it has ended: its answer or its exit code says why
        pass


def _read_answer(return_code: int, stdout: bytes) -> Dict[str, Any]:
    if return_code != 0:
        names = {item.value: item.name for item in signal.Signals}
        ended = names.get(-return_code, f"signal {-return_code}") if return_code < 0 else f"exit code {return_code}"
        message = f"a fresh process that loads the payload ended with {ended}"
        raise ValueError(message)
    try:
        document = json.loads(stdout.decode("utf-8"))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not {"error", "answered_ns"} & set(document):
        message = "a fresh process that loads the payload ended without its figures"
        raise ValueError(message)
    if "error" in document:
        message = f"a fresh process cannot run the payload: {document['error']}"
        raise ValueError(message)
    return document


def _describe_place(bytecode: Path) -> Dict[str, Any]:
    """Return where the process finds what it imports: this agent, wherever it lies, and what this process sees."""
    top = __name__.partition(".")[0]
    return {
        "top": top,
        "folder": next(iter(sys.modules[top].__path__)),
        "module": process.__name__,
        "path": [path for path in sys.path if path],
        "bytecode": str(bytecode / "bytecode"),
    }


def _list_members() -> List[str]:
    prefix = f"{runtimes.__name__}."
    outside = {name: path for name, path in list_outside().items() if name.startswith(prefix)}
    return [f"runtimes:{name[len(prefix) :]}={path}" for name, path in outside.items()]
