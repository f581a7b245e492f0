"""The commands that a model of one's own begins with: init, convert."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from toolchain.cli.completion import suggest_models
from toolchain.cli.options import AsJson, Quiet, show_progress
from toolchain.cli.stdout import print_rows
from toolchain.errors import ExitCode, usage
from toolchain.project.find import find_recipe
from toolchain.run.extras import require_build
from toolchain.run.screen import Screen

if TYPE_CHECKING:
    from torch import nn

    from toolchain.project.recipe import Recipe

# What is left out of a checkpoint is named in full in the file beside the weights.
_LISTED_MAX = 12


def init(
    name: Annotated[str, typer.Argument(help="What the model is called: it becomes models/NAME.")],
    source: Annotated[
        str, typer.Option("--from", help="FILE.py or FILE.py:FUNCTION that builds it, an .onnx file, or a checkpoint.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="An .npz of real samples: one array per input, and targets such as labels.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="With a Python file: a checkpoint, which is converted.")] = None,
    take: Annotated[str | None, typer.Option(help="Which weights of the checkpoint, where it holds several.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Write models/NAME with a recipe from a model that is there, and say what was guessed and what is missing."""
    require_build("init")
    from toolchain.begin.init import begin_model

    with show_progress(quiet=quiet) as progress:
        begun = begin_model(name, source, data=data, weights=weights, take=take, progress=progress)
    print_rows(asdict(begun), as_json=as_json, show=_print_begun)
    return ExitCode.PROVEN


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="What torch.save or safetensors wrote, such as best.ckpt.")],
    model: Annotated[
        str,
        typer.Option(
            help="The model whose weights they are: a name in models/, or a recipe's path.",
            autocompletion=suggest_models,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The safetensors file; that of the recipe if not given.")
    ] = None,
    take: Annotated[
        str | None,
        typer.Option(help="Which weights, where the file holds several: ema, state_dict, state_dict/teacher."),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Turn a training's checkpoint into a weights file, and say what was done; no code in it is run."""
    require_build("convert")
    from toolchain.module.checkpoints.convert import convert_checkpoint

    recipe = find_recipe(model)
    place = _choose_place(recipe, out)
    with show_progress(quiet=quiet) as progress:
        done = convert_checkpoint(checkpoint, _build(recipe), place, take=take, progress=progress)
    print_rows(asdict(done), as_json=as_json, show=_print_conversion)
    named = None if recipe.model.weights is None else (recipe.folder / recipe.model.weights).resolve()
    if named != place.resolve():
        Screen(sys.stderr).line(
            f"the recipe names other weights: write {place.name} into model.weights of {recipe.path}"
        )
    return ExitCode.PROVEN


def _choose_place(recipe: Recipe, out: Path | None) -> Path:
    """Return where the weights go; raises ToolchainError (exit 2) for a file that is there, or of another kind."""
    place = out or recipe.folder / (recipe.model.weights or "weights.safetensors")
    if place.suffix != ".safetensors":
        raise usage(
            "the weights go into a safetensors file",
            where=str(place),
            expected="a name that ends with .safetensors",
            found=place.name,
            fix="name one with -o",
        )
    for path in (place, place.with_suffix(".json")):
        if path.exists():
            raise usage(
                "there is a file already, which a conversion would overwrite",
                where=str(path),
                expected="no file of this name",
                found="one",
                fix="name another file with -o, or remove it",
            )
    return place


def _build(recipe: Recipe) -> nn.Module:
    from toolchain.module.builder import build_model
    from toolchain.module.lazy import find_lazy, materialize

    model = build_model(recipe)
    if find_lazy(model) is not None:
        from toolchain.data import load_dataset

        data = load_dataset(recipe.data.name, recipe.data.options, folder=recipe.folder)
        materialize(model, data.calibration.batch(0, 1))
    return model


def _print_begun(begun: dict[str, Any], *, stream: TextIO) -> None:
    screen = Screen(stream)
    screen.line(begun["recipe"])
    for text in begun["said"]:
        screen.line(f"  {text}")
    for text in begun["missing"]:
        screen.line(f"missing: {text}")
    screen.line(f"{'then' if begun['missing'] else 'next'}: {begun['next']}")


def _print_conversion(done: dict[str, Any], *, stream: TextIO) -> None:
    from toolchain.module.checkpoints.convert import WHOLE_FILE

    screen = Screen(stream)
    screen.line(f"{done['weights']}: {done['tensors']} tensors, all of the model's")
    lines = {
        "taken": "the file's own table" if done["taken"] == WHOLE_FILE else done["taken"],
        "prefix": f"{done['prefix_removed']} removed" if done["prefix_removed"] else "",
        "types": ", ".join(f"{count} of {change}" for change, count in done["types_changed"].items()),
        "counters": f"{done['counters_reset']} num_batches_tracked are 0: the file has none"
        if done["counters_reset"]
        else "",
        "same values": ", ".join(done["same_as"]),
        "left out": _list(done["left_out"]),
    }
    for name, text in lines.items():
        if text:
            screen.line(f"  {name:<11}  {text}")


def _list(names: tuple[str, ...]) -> str:
    rest = len(names) - _LISTED_MAX
    return ", ".join(names[:_LISTED_MAX]) + (f" and {rest} more, listed beside the weights" if rest > 0 else "")
