"""What a fresh process does: it loads one payload, runs it on each frame that comes, and says what that took.

Nothing else of the agent is imported here: what counts is what an application takes that opens the payload and runs it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any, Dict, Optional, Set

from ...clock import read_monotonic_ns
from ...errors import ToolchainError
from ..members import register_argument
from ..session import find_runtime, open_session
from ..traits import find_traits
from .job import LARGEST, USUAL, decode_build, encode_line, read_frame
from .memory import read_peak_bytes, read_waited_ns


def keep_bytecode(folder: Optional[str]) -> None:
    """Keep bytecode of what is imported from now on in a folder, or nowhere.

    A bundle has none, and may get none: to compile the agent anew takes longer than many a payload takes to load.
    """
    sys.pycache_prefix, sys.dont_write_bytecode = folder, folder is None


def main() -> None:
    """Read a job and its frames from stdin, print one line of JSON, and end."""
    # What a runtime prints is no answer.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        document = _run(sys.stdin.buffer)
    except ToolchainError as error:
        document = {"error": error.what if error.found is None else f"{error.what}: {error.found}"}
    answer.write(encode_line(document))
    answer.flush()
    # An application that has answered ends when it likes: how a runtime winds up is not measured.
    os._exit(0)


def _run(stream: IO[bytes]) -> Dict[str, Any]:
    job = json.loads(stream.readline().decode("utf-8"))
    for member in job["members"]:
        register_argument(member)
    frame = read_frame(stream)
    if frame is None:
        return {"error": "no frame came"}
    find_traits(job["runtime"])  # imports our module of it, and not the runtime
    keep_bytecode(None)
    loading_ns = read_monotonic_ns()
    runtime = find_runtime(job["runtime"])
    build = None if job["build"] is None else decode_build(job["build"])
    session = open_session(job["runtime"], Path(job["path"]), job["threads"], build, pins_threads=job["pins_threads"])
    session.run(frame["feeds"])
    answered_ns, waited_ns = read_monotonic_ns(), read_waited_ns()
    peaks = _Peaks(runtime)
    peaks.read(USUAL)
    runs = 1
    while True:
        frame = read_frame(stream)
        if frame is None:
            break
        session.run(frame["feeds"])
        runs += 1
        peaks.read(frame["kind"])
    return {
        "loading_ns": loading_ns,
        "answered_ns": answered_ns,
        "waited_ns": waited_ns,
        "runs": runs,
        "unknown": sorted(peaks.unknown),
        "peak_bytes": peaks.resident.get(USUAL),
        "device_peak_bytes": peaks.device.get(USUAL),
        "largest_peak_bytes": peaks.resident.get(LARGEST),
        "largest_device_peak_bytes": peaks.device.get(LARGEST),
    }


class _Peaks:
    """The most memory so far, by kind of run."""

    def __init__(self, runtime: Any) -> None:
        self._read_device = getattr(runtime, "read_device_peak_bytes", None)
        self.resident: Dict[str, int] = {}
        self.device: Dict[str, int] = {}
        self.unknown: Set[str] = set()

    def read(self, kind: str) -> None:
        peak_bytes, problem = read_peak_bytes()
        if problem is not None:
            self.unknown.add(problem)
        if peak_bytes is not None:
            self.resident[kind] = peak_bytes
        device_bytes = None if self._read_device is None else self._read_device()
        if device_bytes is not None:
            self.device[kind] = device_bytes
