"""The commands about a PyTorch model: train, export, compress and the search."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolchain.agent.measure.settings import MeasureSettings
from toolchain.cli.options import Calibration, Model, Quiet, TargetName, show_progress, take_settings
from toolchain.errors import ExitCode, usage
from toolchain.project.find import find_recipe, find_target
from toolchain.project.recipe import Recipe
from toolchain.project.target import Target
from toolchain.run.atomic import write_atomically
from toolchain.run.cache import Cache, Entry, cache_root
from toolchain.run.extras import require_build
from toolchain.run.screen import Screen

if TYPE_CHECKING:
    from toolchain.stages import Run


def train(
    model: Model,
    epochs: Annotated[int | None, typer.Option(min=1, help="In place of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(help="The weights file, in place of the recipe's.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not go on from an interrupted run.")] = False,
    quiet: Quiet = False,
) -> int:
    """Train a model's weights; an interrupted run goes on where it stopped."""
    require_build("train")
    from toolchain.agent.measure.metrics import find_metric
    from toolchain.agent.measure.quantities import write_value
    from toolchain.module.fit import stop_accelerator
    from toolchain.module.fit.show import show_training
    from toolchain.module.train import train_model

    recipe = find_recipe(model)
    try:
        with show_progress(quiet=quiet) as progress:
            result = train_model(
                recipe, out=out, epochs=epochs, seed=seed, resume=not fresh, on_progress=show_training(progress)
            )
    finally:
        stop_accelerator()
    if os.environ.get("RANK", "0") == "0":  # of several processes, one speaks
        others = result.unmeasured
        of = f" (output {', '.join(result.measured)}; not measured: {', '.join(others)})" if others else ""
        measured = "trained"
        if result.metric_name is not None:
            value = write_value(result.metric, find_metric(result.metric_name).SCALE.unit)
            measured = f"{result.metric_name} {value} of {result.samples} test samples"
        Screen(sys.stdout).line(f"{result.weights}: {measured}{of}")
        if result.metric is not None and result.chance is not None and result.metric <= result.chance:
            chance = write_value(result.chance, find_metric(result.metric_name or "").SCALE.unit)
            Screen(sys.stderr).line(f"warning: this is chance: the same answer for every sample reaches {chance}")
        if not result.has_learnt:
            Screen(sys.stderr).line("warning: no epoch was better than the untrained model on what was held out")
    return ExitCode.PROVEN


def export(
    model: Model,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The ONNX file; MODEL.onnx if not given.")] = None,
    calibration: Calibration = None,
    quiet: Quiet = False,
) -> int:
    """Export a model to ONNX, simplified and checked against PyTorch."""
    require_build("export")
    from toolchain import stages

    recipe = find_recipe(model, calibration=calibration)
    path = out or Path(f"{recipe.name}.onnx")
    with show_progress(quiet=quiet) as progress:
        run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
        entry = stages.run_stages(run, stages.optimize_alone, gives=Entry)
    write_atomically(path, (entry.folder / "model.onnx").read_bytes())
    Screen(sys.stdout).line(str(path))
    return ExitCode.PROVEN


@take_settings
def compress(
    model: Model,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The weights file of the compressed model; a search's folder.")
    ] = None,
    search: Annotated[bool, typer.Option("--search", help="Search method, amount and precision instead.")] = False,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Of the search, earlier runs and all workers counted.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="What workers share: a journal file or a database URL; OUT/search.journal if not given."),
    ] = None,
    target: TargetName = "cpu",
    quiet: Quiet = False,
    *,
    settings: MeasureSettings,
) -> int:
    """Apply a recipe's compression methods and keep the weights; or search for the best ones, on real artifacts."""
    require_build("compress")
    from toolchain import stages
    from toolchain.module.fit import stop_accelerator

    recipe = find_recipe(model)
    if search or trials is not None or storage is not None:
        if not search or trials is None:
            raise usage(
                "a search needs --search and --trials",
                where="the command line",
                expected="--search --trials N",
                found="--search alone" if search else "no --search",
                fix="give both, or neither",
            )
        return _search(
            recipe,
            find_target(target),
            trials=trials,
            storage=storage,
            out=out or Path("dist") / recipe.name / f"search-{Path(target).stem}",
            settings=settings,
            quiet=quiet,
        )
    if not recipe.compress:
        raise usage(
            "the recipe compresses nothing",
            where=str(recipe.path),
            expected="a [[compress]] section",
            found="none",
            fix="add one; `toolchain methods` lists the methods",
        )
    path = out or Path(f"{recipe.name}.safetensors")
    try:
        with show_progress(quiet=quiet) as progress:
            run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
            trained = stages.train(run)
            weights = stages.compress(run, trained)
            speaks = weights is not None and os.environ.get("RANK", "0") == "0"  # of several processes, one
            if weights is not None and trained is not None and speaks and not quiet:
                _print_effect(run, trained, weights)
    finally:
        stop_accelerator()
    if weights is not None and speaks:
        write_atomically(path, weights.read_bytes())
        Screen(sys.stdout).line(str(path))
    return ExitCode.PROVEN


def _print_effect(run: Run, before: Path, after: Path) -> None:
    """Print what the compression did, to people: stdout has the file's name alone."""
    from toolchain.agent.measure.metrics import find_metric
    from toolchain.agent.measure.quantities import write_value
    from toolchain.report.quantities import write_size
    from toolchain.stages.compression_effect import measure_effect

    effects = [measure_effect(run, weights) for weights in (before, after)]
    rows = [
        ["size", *(write_size(effect.size_bytes) for effect in effects)],
        ["MACs", *(f"{effect.macs:,}" for effect in effects)],
    ]
    values = [effect.metric for effect in effects if effect.metric is not None]
    if run.metric_name is not None and len(values) == len(effects):
        unit = find_metric(run.metric_name).SCALE.unit
        rows.append([run.metric_name, *(write_value(value, unit) for value in values)])
    Screen(sys.stderr).table(
        ("in PyTorch", "before", "after"), [[(cell, "") for cell in row] for row in rows], numbers=2
    )


def _search(
    recipe: Recipe,
    target: Target,
    *,
    trials: int,
    storage: str | None,
    out: Path,
    settings: MeasureSettings,
    quiet: bool,
) -> int:
    from toolchain.module.fit import stop_accelerator
    from toolchain.search import SearchRequest, search_recipe

    request = SearchRequest(recipe=recipe, target=target, trials=trials, storage=storage, out=out, settings=settings)
    try:
        page = search_recipe(
            request,
            open_progress=lambda folder: show_progress(
                quiet=quiet, log=None if folder is None else folder / "log.jsonl"
            ),
        )
    finally:
        stop_accelerator()
    Screen(sys.stdout).line(str(page))
    return ExitCode.PROVEN
