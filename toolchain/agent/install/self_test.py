"""Runs the agent of a release in a fresh process: what crashes or hangs there does not take this agent with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Optional

from ..decode import parse_json
from ..errors import ExitCode, ToolchainError
from ..measure.settings import MeasureSettings, list_arguments, list_chosen
from .sites import list_sites

# As `python -m agent` does in the folder of a descriptor, but with an alarm(2) that outlives this process, should it be
# killed, and isolated: of what Python finds by itself, only what is installed.
_START = (
    "import os, runpy, signal, sys\n"
    "signal.alarm(int(sys.argv.pop(1)))\n"
    "os.fchdir(int(sys.argv.pop(1)))\n"
    "names = [os.path.basename(path) for path in sys.path]\n"  # as sites.add_sites does, which is not there
    "place = min([names.index(name) for name in ('site-packages', 'dist-packages') if name in names] or [len(names)])\n"
    "sys.path[place:place] = [path for path in sys.argv.pop(1).split(os.pathsep) if path]\n"
    "sys.path.insert(0, os.getcwd())\n"
    "runpy.run_module('agent', run_name='__main__', alter_sys=True)\n"
)
# Where it writes its samples to, in staging.
SAMPLES_NAME = "samples.json"
# The alarm comes after our own time limit, which can say what happened.
_ALARM_AFTER_S = 5
# Codes by which a child says that it did not get to a verdict, or that we called it wrongly.
_NO_VERDICT = (ExitCode.UNEXPECTED, ExitCode.USAGE)


@dataclass(frozen=True)
class SelfTest:
    """A verdict: its exit code, the measurements it rests on, and every latency sample in ms by name."""

    exit_code: ExitCode
    measurements: Mapping[str, Any]
    samples_ms: Mapping[str, List[float]]

    def find_reason(self) -> str:
        """Return the gravest reason of a verdict that failed."""
        reasons = self.measurements.get("reasons")
        return str(reasons[0]) if reasons else "the self-test failed"


def _explain_end(found: str) -> ToolchainError:
    fix = "run `check` on the board and read its stderr; look there for what killed it, such as a lack of memory"
    return ToolchainError(ExitCode.ROLLED_BACK, "the self-test ended without a verdict", found=found, fix=fix)


def _parse(data: bytes, where: str) -> Any:
    try:
        return parse_json(data, where)
    except ToolchainError as error:  # not what the self-test reports, but that it reports nothing
        raise ValueError(error.found) from error


def _read_verdict(return_code: int, stdout: bytes, samples_path: Path) -> SelfTest:
    if return_code < 0:
        names = {item.value: item.name for item in signal.Signals}
        raise _explain_end(f"killed by {names.get(-return_code, f'signal {-return_code}')}")
    try:
        document = _parse(stdout, "stdout")
        error = document.get("error")
        if error is not None:
            code = ExitCode(error["code"])
            raise ToolchainError(
                ExitCode.ROLLED_BACK if code in _NO_VERDICT else code,
                error["what"],
                where=error["where"],
                expected=error["expected"],
                found=error["found"],
                fix=error["fix"],
            )
        if document["exit_code"] != return_code:
            raise _explain_end(f"exit code {return_code}, but {document['exit_code']} in its words")
        samples_ms = _parse(samples_path.read_bytes(), samples_path.name)
        return SelfTest(exit_code=ExitCode(return_code), measurements=document, samples_ms=samples_ms)
    except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as cause:
        raise _explain_end(f"exit code {return_code}, and no JSON object of ours") from cause


def _list_options(release: Path, settings: MeasureSettings, pinned: Optional[str]) -> List[str]:
    """Return the options of the release's own agent, which may be older than this one.

    Raises ToolchainError (exit 21) for a setting that it does not have, as one that knows the record says by exit 2.
    """
    options = [] if pinned is None else ["--pinned", pinned]
    if (release / "agent/measure/settings.py").is_file():
        return [*list_arguments(settings), *options]
    unknown = sorted(set(list_chosen(settings)) - {"latency_samples", "latency_limit_s"})
    if unknown:
        what, fix = "the release's own agent is older than this setting", "leave it out, or deploy the model again"
        raise ToolchainError(
            ExitCode.ROLLED_BACK, what, where=", ".join(unknown), expected="latency_samples, latency_limit_s", fix=fix
        )
    # Without the option, what it proves is compared afterwards all the same.
    files = [
        path for path in (release / "agent/measure/arguments.py", release / "agent/arguments.py") if path.is_file()
    ]
    if not any(b'"--pinned"' in path.read_bytes() for path in files):
        options = []
    latency = ["--latency-samples", str(settings.latency_samples), "--latency-limit-s", str(settings.latency_limit_s)]
    return [*latency, *options]


def run_self_test(
    release: Path,
    settings: MeasureSettings,
    samples_path: Path,
    *,
    held: int,
    limit_s: float,
    pinned: Optional[str] = None,
) -> SelfTest:
    """Return the verdict of `verify` by a release's own agent; its progress goes to our stderr.

    held: the descriptor of the release's folder, in which it works. pinned: the name of the candidate that is to pass, and
    no other.

    Raises ToolchainError: what that agent reports (exit 3, 11, 12, 23), exit 21 where it crashed or said nothing of
    use. An exception in here ends it; should this agent be killed, the child's alarm does, `limit_s` later.
    """
    command = [sys.executable, "-I", "-B", "-c", _START, str(int(limit_s) + _ALARM_AFTER_S), str(held)]
    command += [os.pathsep.join(list_sites()), "verify", ".", "--samples", str(samples_path.resolve())]
    command += _list_options(release, settings, pinned)
    process = subprocess.Popen(
        command,
        pass_fds=(held,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        stdout, _ = process.communicate()
    finally:
        process.kill()
        process.wait()
    return _read_verdict(process.returncode, stdout, samples_path)
