"""Runs this toolchain's own agent on this machine, whatever it measures: no code that lies in a bundle is ever run here.

Whoever made a bundle, and whoever signed it, its payloads are data: they are opened by the agent's process, which has an
environment by list, no folder of the user's among those that Python imports from, and limits on what it takes.
"""

from __future__ import annotations

import os
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

import toolchain
from toolchain.agent.temporary import TemporaryFolder
from toolchain.deploy.agent_limits import AgentLimits
from toolchain.deploy.agent_output import follow_progress, read_agent_output
from toolchain.deploy.agent_watch import AgentWatch
from toolchain.deploy.transport import AgentResult, OnProgress
from toolchain.errors import ToolchainError, malformed

# What the agent gets of this process's environment; a variable that is not here may be a secret.
ENVIRONMENT = (
    "PATH",  # the tools that tell a board's power mode and clocks (agent/measure/jetson.py)
    "HOME",  # what CUDA keeps of compiled kernels, and the user's own site-packages
    "TMPDIR",  # where temporary files may lie
    *("LANG", "LC_ALL", "LC_CTYPE"),  # the encoding of paths
    "LD_LIBRARY_PATH",  # a runtime's libraries where they are none of the system's (agent/measure/libraries.py)
    *("CUDA_HOME", "CUDA_PATH"),  # the same for CUDA's, which cuda-python looks for there
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),  # which of several GPUs is measured
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),  # how many threads numpy starts
)
# It ends with this process (PR_SET_PDEATHSIG, prctl(2)), and leaves no core. The package is the one that runs here, and no
# other of that name, wherever Python would find one.
_START = """
import ctypes, importlib.util, os, resource, runpy, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
folder = sys.argv.pop(1)
spec = importlib.util.spec_from_file_location("toolchain", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder])
sys.modules["toolchain"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["toolchain"])
runpy.run_module("toolchain.agent", run_name="__main__", alter_sys=True)
"""
_PACKAGE = Path(toolchain.__file__).absolute().parent
# Python without the PYTHON* variables, and without the folder that a command was started in.
_OPTIONS = ("-E", "-P", "-B")
# Of a line that a runtime writes to stderr; ours have a hundred bytes.
_LINE_CHARACTERS_MAX = 65_536
# By these a runtime ends that a payload breaks; SIGKILL is somebody else's.
_BROKEN = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


def run_agent(
    arguments: Sequence[str], on_progress: OnProgress, *, limits: AgentLimits, where: str | None = None
) -> AgentResult:
    """Run this toolchain's own agent in a fresh process on this machine, such as with ["verify", FOLDER].

    Args:
        arguments: of the agent; their paths are absolute, because it works in an empty folder.
        on_progress: is called for every sign of progress.
        limits: beyond which the agent is ended, with everything that it started.
        where: what it measures, for messages.

    Raises the ToolchainError that the agent reports; exit 23 where it exceeds a limit or a payload broke the runtime; exit 1
    where it died otherwise.
    """
    # Of packages in the user's home the agent sees what this process does.
    options = [*_OPTIONS, *([] if site.ENABLE_USER_SITE else ["-s"])]
    command = [sys.executable, *options, "-c", _START, str(_PACKAGE), *arguments]
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    with (
        closing(TemporaryFolder()) as folder,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stdout,
        subprocess.Popen(
            command,
            cwd=folder.path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process,
        AgentWatch(process, stdout, limits) as watch,
    ):
        folder.note_process(process.pid)
        stderr = follow_progress(_read_lines(process.stderr), watch.note_progress(on_progress))
        return_code = watch.wait()
        if watch.exceeded is not None:
            raise _refuse(where, *watch.exceeded)
        if -return_code in _BROKEN:
            raise _refuse(
                where, "an agent that lives to its end", f"one that ended with {signal.Signals(-return_code).name}"
            )
        stdout.seek(0)
        return read_agent_output(return_code, stdout.read(), stderr)


def _read_lines(stream: IO[str] | None) -> Iterator[str]:
    return iter(lambda: "" if stream is None else stream.readline(_LINE_CHARACTERS_MAX), "")


def _refuse(where: str | None, expected: str, found: str) -> ToolchainError:
    return malformed(
        "a payload cannot be measured safely",
        where=where,
        expected=expected,
        found=found,
        fix="do not use a bundle whose maker you do not trust; of a model of yours, make payloads with a fixed batch of 1",
    )
