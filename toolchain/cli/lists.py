"""The commands that say what there is: models, targets, methods, and what may stand in their files."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from toolchain.cli.options import AsJson
from toolchain.cli.stdout import print_rows, write_json
from toolchain.errors import ExitCode
from toolchain.project.find import list_models, list_targets
from toolchain.project.members import list_members, read_text
from toolchain.project.seams import METHODS
from toolchain.run.extras import require_build
from toolchain.run.screen import Screen


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


def schema(
    kind: Annotated[Literal["recipe", "target", "device"], typer.Argument(help="recipe, target or device.")] = "recipe",
    page: Annotated[bool, typer.Option("--page", help="All of them as a page for people, in Markdown.")] = False,
) -> int:
    """Print what may stand in a file, with defaults and meanings, as JSON Schema: editors complete and check by it."""
    if page or kind == "recipe":  # its options are those of data sets and methods, which are asked for them
        require_build("schema")
    if page:
        from toolchain.project.keys_page import write_keys_page

        Screen(sys.stdout).lines(write_keys_page())
        return ExitCode.PROVEN
    from toolchain.project.schema import SCHEMAS

    write_json(SCHEMAS[kind]())
    return ExitCode.PROVEN
