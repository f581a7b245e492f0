"""The command line: parses what people type, prints what came out, exits with the code of the contract.

Heavy libraries are imported by the stages that need them, so that a cached run starts at once.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from toolchain.cache import cache_root
from toolchain.errors import ExitCode, ToolchainError, storage

app = typer.Typer(
    help="Take a trained PyTorch model to a proven artifact on an edge board.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Model = Annotated[str, typer.Argument(help="A name in models/, the path of a recipe, or an .onnx file.")]
Calibration = Annotated[
    Path | None, typer.Option(help="For an .onnx file: an .npz with one array per input, first axis = samples.")
]
TargetName = Annotated[str, typer.Option("--target", help="A name in targets/, or the path of a TOML file.")]
Device = Annotated[str | None, typer.Option(help="The board to use; none is this machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the machine's form on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


@app.command()
def deploy(
    model: Model,
    target: TargetName = "cpu",
    device: Device = None,
    precision: Annotated[str | None, typer.Option(help="Only this one of the target's precisions.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where results go; dist/MODEL/TARGET if not given.")] = None,
    calibration: Calibration = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run the whole flow: a proven artifact on the board, or an exit code that says why not."""
    from toolchain.pipeline import deploy_model  # noqa: PLC0415

    recipe = _find_recipe(model, calibration)
    chosen = _find_target(target, precision)
    folder = out or Path("dist") / recipe.name / chosen.name
    _refuse_device(device)
    report = deploy_model(recipe, chosen, out=folder, quiet=quiet)
    _show_report(report, as_json=as_json, out=folder)
    raise typer.Exit(report["exit_code"])


def main() -> None:
    """Run the command line; errors become a message and an exit code, never a traceback."""
    try:
        code = app(standalone_mode=False)
    except ToolchainError as error:
        code = _fail(error)
    except OSError as error:
        code = _fail(storage(error))
