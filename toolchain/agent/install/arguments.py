"""What the command line of what installs takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..command import Parser
from ..errors import ExitCode, ToolchainError
from ..manifest import SIGNATURES
from ..measure.settings import add_settings

# The active release, the previous one, and one more whose files spare the next upload.
DEFAULT_KEEP = 3


def check_numbers(options: argparse.Namespace) -> None:
    """Refuse (exit 2) numbers that mean nothing."""
    limit_s = getattr(options, "limit_s", None)
    if limit_s is not None and not 0 < limit_s < float("inf"):
        raise ToolchainError(
            ExitCode.USAGE,
            "a time limit is above 0",
            where="--limit-s",
            found=str(limit_s),
            fix="give seconds, or leave it out: every state has a limit of its own",
        )
    if getattr(options, "keep", 2) < 2:
        what = "the active release and the previous one are always kept"
        raise ToolchainError(
            ExitCode.USAGE,
            what,
            where="--keep",
            expected="2 or more",
            found=str(options.keep),
            fix=f"leave it out, which keeps {DEFAULT_KEEP} releases",
        )


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, required=True, help="the board's folder for releases")


def _add_limit(parser: argparse.ArgumentParser) -> None:
    help_text = "seconds after which a state that makes no progress has failed (default: its own in states.py)"
    parser.add_argument("--limit-s", type=float, help=help_text)


def _add_deployment(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    add_settings(parser)
    _add_limit(parser)
    parser.add_argument("--who", required=True, help="who does this, for the log")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the commands."""
    parser = Parser(prog="agent.install", description="Install, check and roll back bundles on this board.")
    commands = parser.add_subparsers(dest="command", required=True)

    facts = commands.add_parser("facts", help="tell what this board is")
    facts.add_argument("--runtime", required=True, help="the runtime to look for")
    facts.add_argument("--root", type=Path, help="the board's folder for releases, for what its disk has free")

    install = commands.add_parser("install", help="take a bundle from stdin, prove it, and make it the active release")
    _add_deployment(install)
    install.add_argument(
        "--signature", choices=SIGNATURES, default="required", help="whether a bundle must be signed (%(default)s)"
    )
    install.add_argument("--keep", type=int, default=DEFAULT_KEEP, help="releases to keep (default %(default)s)")

    rollback = commands.add_parser("rollback", help="go back to the previous release")
    _add_deployment(rollback)

    status = commands.add_parser("status", help="tell which releases there are and whether the active one is intact")
    _add_root(status)

    check = commands.add_parser("check", help="hash and measure a release again")
    _add_root(check)
    add_settings(check)
    _add_limit(check)
    check.add_argument("--who", default="unknown", help="who does this, for the log")
    check.add_argument("--pinned", metavar="NAME", help="what was proven, where the board has no verdict of it")
    check.add_argument("--bundle", help="the bundle_id (default: the active release)")

    enroll = commands.add_parser("enroll", help="take the file of those who may sign from stdin")
    _add_root(enroll)
    enroll.add_argument("--who", required=True, help="who does this, for the log")
    for command in commands.choices.values():
        command.add_argument("--run-id", help="what the answer is to repeat, so that it is that of this command")
    return parser
