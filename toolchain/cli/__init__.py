"""The command line: parses what people type, prints what came out, exits with the code of the contract.

One file a family of commands. Heavy libraries are imported by the stages that need them, so that a cached run starts at
once.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from toolchain.agent.command import keep_runtimes_silent
from toolchain.cli import begin, cache, completion, deploy, devices, flow, lists, measure, model
from toolchain.cli.exits import run_command
from toolchain.cli.refused import DeployCommand
from toolchain.run.provenance import read_version
from toolchain.run.screen import Screen

COMMANDS = (
    *(flow.lower, flow.verify),
    *(measure.inspect, measure.compare, measure.bisect, measure.bench),
    *(begin.init, begin.convert, model.compress, model.export, model.train),
    *(devices.devices, devices.status, devices.rollback, devices.enroll),
    *(measure.doctor, cache.cache, lists.models, lists.targets, lists.methods, lists.schema, completion.completion),
)


def create_app() -> typer.Typer:
    """Return the command line with all of its commands."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_begin)
    app.command(cls=DeployCommand)(deploy.deploy)
    for command in COMMANDS:
        app.command()(command)
    return app


def _begin(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take a trained PyTorch model to a proven artifact on an edge board."""


def _print_version(asked: bool) -> None:
    if asked:
        Screen(sys.stdout).line(f"toolchain {read_version()}")
        raise typer.Exit


def main() -> None:
    """Run the command line and exit with the code of the contract."""
    # PyTorch's OpenMP threads spin while they wait. Where another process wants the cores, that is ruin: resnet8 over
    # 2,000 pictures took 23.6 s, and 1.9 s with threads that sleep (2 cores at load 5).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_runtimes_silent()
    completion.answer_shell(create_app)
    sys.exit(run_command(create_app()))
