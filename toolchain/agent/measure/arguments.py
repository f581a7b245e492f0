"""What the command line of what measures takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..command import Parser
from .settings import add_settings


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the one command."""
    parser = Parser(prog="agent", description="Measure a bundle on this board.")
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="prove a bundle: parity, task metric, latency")
    text = "on a host, the file of a member that is none of ours, such as runtimes:NAME=PATH; a bundle has it in itself"
    verify.add_argument("--member", action="append", default=[], metavar="KIND:NAME=PATH", help=text)
    verify.add_argument("bundle", type=Path, help="the bundle's folder")
    verify.add_argument("--samples", type=Path, help="write every latency sample to this JSON file")
    verify.add_argument("--speed-memory", type=Path, help="a file that remembers how fast this machine can be")
    verify.add_argument("--engines", type=Path, help="the folder that keeps engines; a release's are its board's")
    verify.add_argument("--pinned", metavar="NAME", help="the candidate that alone may be proven")
    add_settings(verify)
    return parser
