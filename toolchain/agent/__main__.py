"""The agent's command: `python -B -m agent verify .` in a bundle, `python -m toolchain.agent verify BUNDLE` on a host.

-B keeps Python from adding its bytecode to the bundle, which then would hold files that its manifest does not list. One
JSON object goes to stdout (install first sends what it wants, see offer.py and receive.py), progress lines as JSON to
stderr; the exit code is the verdict's.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from dataclasses import asdict
from typing import Any, Dict, Sequence, Tuple

from .errors import ExitCode, ToolchainError, is_storage_error
from .measure.arguments import build_parser
from .measure.members import register_argument

_Answer = Tuple[ExitCode, Dict[str, Any]]


def _report_progress(step: str, done: int, total: int) -> None:
    line = json.dumps({"event": "progress", "step": step, "done": done, "total": total})
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _check_numbers(options: argparse.Namespace) -> None:
    limit_s = getattr(options, "limit_s", None)
    if limit_s is not None and not 0 < limit_s < float("inf"):
        raise ToolchainError(ExitCode.USAGE, "a time limit is above 0", "--limit-s", found=str(limit_s))
    if getattr(options, "keep", 2) < 2:
        what = "the active release and the previous one are always kept"
        raise ToolchainError(ExitCode.USAGE, what, "--keep", "2 or more", str(options.keep))


def _verify(options: argparse.Namespace) -> _Answer:
    from .measure.machine_speed import find_speed_memory
    from .measure.verify import verify_bundle

    samples_path = options.samples
    if samples_path is not None and options.bundle.resolve() in samples_path.resolve().parents:
        what = "the samples would become a part of the bundle"
        raise ToolchainError(ExitCode.USAGE, what, str(samples_path), fix="name a file outside of the bundle")
    verification = verify_bundle(
        options.bundle,
        on_progress=_report_progress,
        settings=options.settings,
        pinned=options.pinned,
        speed_memory=options.speed_memory or find_speed_memory(options.bundle),
    )
    if samples_path is not None:
        samples_path.write_text(json.dumps(verification.samples_ms), encoding="utf-8")
    return verification.judgement.exit_code, verification.describe()


def _facts(options: argparse.Namespace) -> _Answer:
    from .install.board_facts import read_board_facts

    board = {"board": asdict(read_board_facts(options.root))}
    try:
        from .measure.facts import read_facts

        return ExitCode.PROVEN, {**asdict(read_facts(options.runtime)), **board}
    except ModuleNotFoundError as error:  # numpy
        missing = _explain_missing(error)
        return missing.code, {"error": missing.to_dict(), **board}
    except ToolchainError as error:  # without its runtime a board still has the other facts
        return error.code, {"error": error.to_dict(), **board}


def _deploy(options: argparse.Namespace) -> _Answer:
    from .install.actions import Options
    from .install.faults import parse_fault
    from .install.states import COMMANDS, run_states

    states = [state.name for state in COMMANDS[options.command]]
    return run_states(
        options.command,
        options.root.absolute(),
        Options(
            who=options.who,
            is_signature_required=getattr(options, "signature", None) == "required",
            settings=options.settings,
            keep=getattr(options, "keep", 2),
        ),
        _report_progress,
        limit_s=options.limit_s,
        fault=None if options.fault is None else parse_fault(options.fault, states),
    )


def _status(options: argparse.Namespace) -> _Answer:
    from .install.status import read_status

    return read_status(options.root.absolute())


def _check(options: argparse.Namespace) -> _Answer:
    from .install.check import check_release
    from .install.states import STATES

    return check_release(
        options.root.absolute(),
        options.bundle,
        options.settings,
        who=options.who,
        limit_s=options.limit_s or STATES["self_test"].limit_s,
        pinned=options.pinned,
    )


def _enroll(options: argparse.Namespace) -> _Answer:
    from .install.channel import Channel
    from .install.enroll import enroll_signers

    def ignore_bytes() -> None:
        """Nothing waits for them."""

    return ExitCode.PROVEN, enroll_signers(options.root, options.who, Channel(0, 1, on_bytes=ignore_bytes))


_COMMANDS = {
    "verify": _verify,
    "facts": _facts,
    "install": _deploy,
    "rollback": _deploy,
    "status": _status,
    "check": _check,
    "enroll": _enroll,
}


def _explain_missing(error: ModuleNotFoundError) -> ToolchainError:
    fix = f"install it for {sys.executable}: python3 -m pip install {error.name}"
    return ToolchainError(ExitCode.MISSING, f"the Python module {error.name} is not installed", fix=fix)


def _run(arguments: Sequence[str]) -> _Answer:
    try:
        options = build_parser().parse_args(arguments)
        _check_numbers(options)
        for member in getattr(options, "member", ()):
            register_argument(member)
        return _COMMANDS[options.command](options)
    except ToolchainError as error:
        return error.code, {"error": error.to_dict()}
    except ModuleNotFoundError as error:
        missing = _explain_missing(error)
        return missing.code, {"error": missing.to_dict()}
    except Exception as error:  # noqa: BLE001 - the outermost frame: whoever called gets JSON and an exit code
        traceback.print_exc()
        code = ExitCode.STORAGE if is_storage_error(error) else ExitCode.UNEXPECTED
        return code, {"error": ToolchainError(code, f"{type(error).__name__}: {error}").to_dict()}


def main(arguments: Sequence[str]) -> int:
    """Run one command; print its JSON object and return the exit code."""
    code, document = _run(arguments)
    sys.stdout.write(json.dumps(document, allow_nan=False) + "\n")
    sys.stdout.flush()
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
