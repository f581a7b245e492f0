"""The board's command: `python -B -m agent.install install|rollback|status|check|enroll|facts`, as a host starts it.

One JSON object goes to stdout (install first sends what it wants, see offer.py and receive.py), progress lines as JSON to
stderr; the exit code is that of the command.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from dataclasses import asdict
from typing import Sequence

from ..command import Answer, answer_command, explain_missing, report_progress
from ..errors import ExitCode, ToolchainError
from ..temporary import remove_orphans
from .arguments import build_parser, check_numbers


def _facts(options: argparse.Namespace) -> Answer:
    from .board_facts import read_board_facts

    board = {"board": asdict(read_board_facts(options.root))}
    try:
        from ..measure.facts import read_facts

        return ExitCode.PROVEN, {**asdict(read_facts(options.runtime)), **board}
    except ModuleNotFoundError as error:  # numpy
        missing = explain_missing(error)
        return missing.code, {"error": missing.to_dict(), **board}
    except ToolchainError as error:  # without its runtime a board still has the other facts
        return error.code, {"error": error.to_dict(), **board}


def _deploy(options: argparse.Namespace) -> Answer:
    from .actions import Options
    from .states import run_states

    return run_states(
        options.command,
        options.root.absolute(),
        Options(
            who=options.who,
            is_signature_required=getattr(options, "signature", None) == "required",
            settings=options.settings,
            keep=getattr(options, "keep", 2),
        ),
        report_progress,
        limit_s=options.limit_s,
    )


def _status(options: argparse.Namespace) -> Answer:
    from .status import read_status

    return read_status(options.root.absolute())


def _check(options: argparse.Namespace) -> Answer:
    from .check import check_release
    from .states import STATES

    return check_release(
        options.root.absolute(),
        options.bundle,
        options.settings,
        who=options.who,
        limit_s=options.limit_s or STATES["self_test"].limit_s,
        pinned=options.pinned,
    )


def _enroll(options: argparse.Namespace) -> Answer:
    from .channel import Channel
    from .enroll import enroll_signers

    def ignore_bytes() -> None:
        """Nothing waits for them."""

    return ExitCode.PROVEN, enroll_signers(options.root, options.who, Channel(0, 1, on_bytes=ignore_bytes))


_COMMANDS = {
    "facts": _facts,
    "install": _deploy,
    "rollback": _deploy,
    "status": _status,
    "check": _check,
    "enroll": _enroll,
}


def _run(arguments: Sequence[str]) -> Answer:
    from .agents import prune_agents
    from .sites import add_sites

    options = build_parser().parse_args(arguments)
    check_numbers(options)
    os.umask(0o022)  # whatever the account says: nobody else changes what lies here
    add_sites()
    if options.root is not None:
        with contextlib.suppress(OSError):  # a disk that takes nothing is told by the command
            prune_agents(options.root.absolute())
    code, document = _COMMANDS[options.command](options)
    return code, document if options.run_id is None else {**document, "run_id": options.run_id}


def main(arguments: Sequence[str]) -> int:
    """Run one command; print its JSON object and return the exit code. What a killed one left in TMPDIR is removed."""
    remove_orphans()
    return answer_command(_run, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
