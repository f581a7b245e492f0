"""The commands that say what there is: models, targets, methods."""

from __future__ import annotations

from toolchain.cli.options import AsJson
from toolchain.cli.stdout import print_rows
from toolchain.errors import ExitCode
from toolchain.project.find import list_models, list_targets
from toolchain.project.members import list_members, read_text
from toolchain.project.seams import METHODS


def models(as_json: AsJson = False) -> int:
    """List the models."""
    print_rows({name: str(path) for name, path in list_models().items()}, as_json=as_json)
    return ExitCode.PROVEN


def targets(as_json: AsJson = False) -> int:
    """List the targets."""
    print_rows({name: str(path) for name, path in list_targets().items()}, as_json=as_json)
    return ExitCode.PROVEN


def methods(as_json: AsJson = False) -> int:
    """List the compression methods."""
    found = list_members(METHODS)
    print_rows({name: read_text(member, "SUMMARY") for name, member in found.items()}, as_json=as_json)
    return ExitCode.PROVEN
