"""What the agent's command line takes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from ..errors import ExitCode, ToolchainError
from ..manifest import PRECISIONS, SIGNATURES
from .settings import add_settings

# The active release, the previous one, and one more whose files spare the next upload.
DEFAULT_KEEP = 3


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print, so that wrong arguments come out as JSON too."""
        raise ToolchainError(ExitCode.USAGE, message, fix="see --help")


def _add_members(parser: argparse.ArgumentParser) -> None:
    text = "on a host, the file of a member that is none of ours, such as runtimes:NAME=PATH; a bundle has it in itself"
    parser.add_argument("--member", action="append", default=[], metavar="KIND:NAME=PATH", help=text)


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, required=True, help="the board's folder for releases")


def _add_limit(parser: argparse.ArgumentParser) -> None:
    help_text = "seconds after which a state that makes no progress has failed (default: its own in install.py)"
    parser.add_argument("--limit-s", type=float, help=help_text)


def _add_deployment(parser: argparse.ArgumentParser) -> None:
    _add_root(parser)
    add_settings(parser)
    _add_limit(parser)
    parser.add_argument("--who", required=True, help="who does this, for the log")
    parser.add_argument("--fault", help=argparse.SUPPRESS)  # faults.py


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the agent's commands."""
    parser = _Parser(prog="agent", description="Install, verify and roll back bundles on this board.")
    commands = parser.add_subparsers(dest="command", required=True)

    verify = commands.add_parser("verify", help="prove a bundle: parity, task metric, latency")
    _add_members(verify)
    verify.add_argument("bundle", type=Path, help="the bundle's folder")
    verify.add_argument("--samples", type=Path, help="write every latency sample to this JSON file")
    verify.add_argument("--speed-memory", type=Path, help="a file that remembers how fast this machine can be")
    verify.add_argument("--pinned", choices=PRECISIONS, help="the precision that alone may be proven")
    add_settings(verify)

    facts = commands.add_parser("facts", help="tell what this board is")
    _add_members(facts)
    facts.add_argument("--runtime", default="onnxruntime", help="the runtime to look for (default %(default)s)")
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
    check.add_argument("--pinned", choices=PRECISIONS, help="what was proven, where the board has no verdict of it")
    check.add_argument("--bundle", help="the bundle_id (default: the active release)")

    enroll = commands.add_parser("enroll", help="take the file of those who may sign from stdin")
    _add_root(enroll)
    enroll.add_argument("--who", required=True, help="who does this, for the log")
    return parser
