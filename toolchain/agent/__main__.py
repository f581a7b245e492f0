"""The agent's command: `python -B -m agent verify .` in a bundle, `python -m toolchain.agent verify BUNDLE` on a host.

-B keeps Python from adding its bytecode to the bundle, which then would hold files that its manifest does not list. One JSON object goes to stdout, progress lines as JSON to stderr; the exit code is the verdict's.
"""

from __future__ import annotations

import argparse
import errno
import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, NoReturn, Sequence, Tuple

from .errors import ExitCode, ToolchainError
from .facts import read_facts
from .latency import DEFAULT_LIMIT_S, DEFAULT_SAMPLES
from .verify import verify_bundle

_STORAGE_ERRNOS = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print, so that wrong arguments come out as JSON too."""
        raise ToolchainError(ExitCode.USAGE, message, fix="see --help")


def _build_parser() -> _Parser:
    parser = _Parser(prog="agent", description="Verify a bundle on this board.")
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="prove a bundle: parity, task metric, latency")
    verify.add_argument("bundle", type=Path, help="the bundle's folder")
    verify.add_argument("--samples", type=Path, help="write every latency sample to this JSON file")
    verify.add_argument(
        "--latency-samples", type=int, default=DEFAULT_SAMPLES, help="samples of each payload (default %(default)s)"
    )
    verify.add_argument(
        "--latency-limit-s", type=float, default=DEFAULT_LIMIT_S, help="time for them in seconds (default %(default)s)"
    )
    facts = commands.add_parser("facts", help="tell what this board is")
    facts.add_argument("--runtime", default="onnxruntime", help="the runtime to look for (default %(default)s)")
    return parser


def _report_progress(step: str, done: int, total: int) -> None:
    line = json.dumps({"event": "progress", "step": step, "done": done, "total": total})
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _verify(options: argparse.Namespace) -> Tuple[ExitCode, Dict[str, Any]]:
    if options.latency_samples < 1 or not options.latency_limit_s > 0:
        raise ToolchainError(ExitCode.USAGE, "latency needs at least 1 sample and a time limit above 0")
    samples_path = options.samples
    if samples_path is not None and options.bundle.resolve() in samples_path.resolve().parents:
        what = "the samples would become a part of the bundle"
        raise ToolchainError(ExitCode.USAGE, what, str(samples_path), fix="name a file outside of the bundle")
    verification = verify_bundle(
        options.bundle,
        on_progress=_report_progress,
        latency_samples=options.latency_samples,
        latency_limit_s=options.latency_limit_s,
    )
    if samples_path is not None:
        samples_path.write_text(json.dumps(verification.samples_ms), encoding="utf-8")
    return verification.exit_code, verification.measurements


def _run(arguments: Sequence[str]) -> Tuple[ExitCode, Dict[str, Any]]:
    try:
        options = _build_parser().parse_args(arguments)
        if options.command == "facts":
            return ExitCode.PROVEN, asdict(read_facts(options.runtime))
        return _verify(options)
    except ToolchainError as error:
        return error.code, {"error": error.to_dict()}
    except Exception as error:  # noqa: BLE001 - the outermost frame: whoever called gets JSON and an exit code
        traceback.print_exc()
        code = ExitCode.UNEXPECTED
        if isinstance(error, OSError) and error.errno in _STORAGE_ERRNOS:
            code = ExitCode.STORAGE
        return code, {"error": ToolchainError(code, f"{type(error).__name__}: {error}").to_dict()}


def main(arguments: Sequence[str]) -> int:
    """Run one command; print its JSON object and return the exit code."""
    code, document = _run(arguments)
    sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
    sys.stdout.flush()
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
