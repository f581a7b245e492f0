"""The command line: parses what people type, prints what came out, exits with the code of the contract.

Heavy libraries are imported by the stages that need them, so that a cached run starts at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from toolchain.atomic import write_atomically
from toolchain.cache import Cache, cache_root
from toolchain.cli_boards import add_board_commands, examine_boards, report_on_each
from toolchain.device import Device, find_devices
from toolchain.errors import ExitCode, usage
from toolchain.exits import run_command
from toolchain.progress import Progress
from toolchain.project import find_recipe, find_target, list_models, list_targets
from toolchain.recipe import Recipe
from toolchain.report.shape import Report
from toolchain.stdout import print_rows
from toolchain.target import Target

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
TargetOfDevice = Annotated[
    str | None,
    typer.Option("--target", help="A name in targets/, or a TOML file; the device's if not given, else cpu."),
]
PrecisionName = Annotated[str | None, typer.Option("--precision", help="Only this one of the target's precisions.")]
DeviceNames = Annotated[
    str | None, typer.Option("--device", help="Boards of devices.toml, as in a,b,c; none is this machine.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the machine's form on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
LatencySamples = Annotated[
    int | None, typer.Option(min=1, help="Samples of each payload; fewer than 64 cannot bound a p90.")
]
LatencyLimit = Annotated[
    float | None, typer.Option(min=0.001, help="Time for the latency in seconds; more helps on a slow or busy board.")
]


@app.command()
def deploy(
    model: Model,
    target: TargetOfDevice = None,
    device: DeviceNames = None,
    precision: PrecisionName = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Where results go; dist/MODEL/TARGET or, of a board, its folder DEVICE, if not given."),
    ] = None,
    calibration: Calibration = None,
    sign: Annotated[Path | None, typer.Option(help="An OpenSSH key; the device's if not given, else unsigned.")] = None,
    counter: Annotated[
        int | None, typer.Option(min=0, help="Boards refuse a lower one than they had; the commit's time if not given.")
    ] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, help="Boards refuse the bundle after so many.")] = None,
    latency_samples: LatencySamples = None,
    latency_limit_s: LatencyLimit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Run the whole flow: a proven artifact on the board, or an exit code that says why not."""
    from toolchain.boards import choose_target, open_transport
    from toolchain.deploy.transport import LatencyEffort
    from toolchain.freshness import choose_freshness
    from toolchain.pipeline import Order, deploy_model

    recipe = find_recipe(model, calibration=calibration)
    units: list[Device | None] = [None] if device is None else [*find_devices(device)]
    chosen = {unit: choose_target(unit, target, precision=precision) for unit in units}
    freshness = choose_freshness(recipe.folder, counter=counter, expires_days=expires_days)

    def choose_folder(unit: Device | None) -> Path:
        parts = [] if unit is None else [unit.name]
        if out is not None:
            return out.joinpath(*(parts if len(units) > 1 else []))
        return Path("dist").joinpath(recipe.name, chosen[unit].name, *parts)

    def deploy_to(unit: Device | None) -> Report:
        folder = choose_folder(unit)
        own_key = None if unit is None or unit.sign is None else unit.resolve(unit.sign)
        order = Order(
            effort=LatencyEffort(samples=latency_samples, limit_s=latency_limit_s),
            freshness=freshness,
            sign_with=sign or own_key,
        )
        with (
            open_transport(unit, folder) as transport,
            _show_progress(quiet=quiet, log=folder / "log.jsonl") as progress,
        ):
            return deploy_model(recipe, chosen[unit], out=folder, transport=transport, order=order, progress=progress)

    return report_on_each(units, deploy_to, as_json=as_json, find_out=choose_folder)


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder.")],
    device: DeviceNames = None,
    latency_samples: LatencySamples = None,
    latency_limit_s: LatencyLimit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Prove a bundle again: parity, metric, latency; nothing is rebuilt, and nothing is sent to a board."""
    from toolchain.boards import verify_on_board
    from toolchain.deploy.transport import LatencyEffort
    from toolchain.pipeline import verify_bundle

    effort = LatencyEffort(samples=latency_samples, limit_s=latency_limit_s)
    units: list[Device | None] = [None] if device is None else [*find_devices(device)]

    def verify_on(unit: Device | None) -> Report:
        with _show_progress(quiet=quiet) as progress:
            if unit is None:
                return verify_bundle(bundle, effort=effort, progress=progress)
            return verify_on_board(bundle, unit, effort=effort, progress=progress)

    return report_on_each(units, verify_on, as_json=as_json)


@app.command()
def lower(
    file: Annotated[Path, typer.Argument(help="A float ONNX file.")],
    calibration: Annotated[Path, typer.Option(help="An .npz with one array per input, first axis = samples.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where model.onnx and lowering.json go.")],
    precision: Annotated[str, typer.Option(help="int8, fp16 or float32.")] = "int8",
    target: TargetName = "cpu",
    quiet: Quiet = False,
) -> int:
    """Lower an ONNX file that is already there."""
    from toolchain.pipeline import lower_file

    recipe = find_recipe(str(file), calibration=calibration)
    chosen = find_target(target, precision=precision)
    with _show_progress(quiet=quiet) as progress:
        lower_file(recipe, chosen, out=out, progress=progress)
    sys.stdout.write(f"{out / 'model.onnx'}\n")
    return ExitCode.PROVEN


@app.command()
def train(
    model: Model,
    epochs: Annotated[int | None, typer.Option(min=1, help="In place of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(help="The weights file, in place of the recipe's.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not go on from an interrupted run.")] = False,
    quiet: Quiet = False,
) -> int:
    """Train a model's weights; an interrupted run goes on where it stopped."""
    from toolchain.fit import stop_accelerator
    from toolchain.fit.show import show_training
    from toolchain.train import train_model

    recipe = find_recipe(model)
    try:
        with _show_progress(quiet=quiet) as progress:
            result = train_model(
                recipe, out=out, epochs=epochs, seed=seed, resume=not fresh, on_progress=show_training(progress)
            )
    finally:
        stop_accelerator()
    if os.environ.get("RANK", "0") == "0":  # of several processes, one speaks
        sys.stdout.write(f"{result.weights}: top-1 {result.metric:.2%} of {result.samples} test samples\n")
    return ExitCode.PROVEN


@app.command()
def export(
    model: Model,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The ONNX file; MODEL.onnx if not given.")] = None,
    calibration: Calibration = None,
    quiet: Quiet = False,
) -> int:
    """Export a model to ONNX, simplified and checked against PyTorch."""
    from toolchain import stages

    recipe = find_recipe(model, calibration=calibration)
    path = out or Path(f"{recipe.name}.onnx")
    with _show_progress(quiet=quiet) as progress:
        run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
        entry = stages.optimize(run, stages.export(run, stages.compress(run, stages.train(run))))
    write_atomically(path, (entry.folder / "model.onnx").read_bytes())
    sys.stdout.write(f"{path}\n")
    return ExitCode.PROVEN


@app.command()
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
    latency_samples: LatencySamples = None,
    latency_limit_s: LatencyLimit = None,
    quiet: Quiet = False,
) -> int:
    """Apply a recipe's compression methods and keep the weights; or search for the best ones, on real artifacts."""
    from toolchain import stages
    from toolchain.fit import stop_accelerator

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
            latency=(latency_samples, latency_limit_s),
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
        with _show_progress(quiet=quiet) as progress:
            run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
            weights = stages.compress(run, stages.train(run))
    finally:
        stop_accelerator()
    if weights is not None and os.environ.get("RANK", "0") == "0":
        write_atomically(path, weights.read_bytes())
        sys.stdout.write(f"{path}\n")
    return ExitCode.PROVEN


def _search(
    recipe: Recipe,
    target: Target,
    *,
    trials: int,
    storage: str | None,
    out: Path,
    latency: tuple[int | None, float | None],
    quiet: bool,
) -> int:
    from toolchain.deploy.transport import LatencyEffort
    from toolchain.fit import stop_accelerator
    from toolchain.search import SearchRequest, search_recipe

    effort = LatencyEffort(samples=latency[0], limit_s=latency[1])
    request = SearchRequest(recipe=recipe, target=target, trials=trials, storage=storage, out=out, effort=effort)
    try:
        page = search_recipe(
            request,
            open_progress=lambda folder: _show_progress(
                quiet=quiet, log=None if folder is None else folder / "log.jsonl"
            ),
        )
    finally:
        stop_accelerator()
    sys.stdout.write(f"{page}\n")
    return ExitCode.PROVEN


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A bundle's folder, or an .onnx file.")],
    b: Annotated[Path, typer.Argument(help="A bundle's folder, or an .onnx file.")],
    data: Annotated[Path | None, typer.Option(help="An .npz; a bundle brings its own.")] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also every tensor that both have.")] = False,
    sqnr_db_min: Annotated[float, typer.Option(help="Name the first layers where B falls under it.")] = 20.0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Compare what two models return for the same real data."""
    from toolchain.measure.compare import compare_models, print_comparison
    from toolchain.pipeline import show_steps

    with _show_progress(quiet=quiet) as progress:
        rows = compare_models(a, b, data=data, layers=layers, on_progress=show_steps(progress), sqnr_db_min=sqnr_db_min)
    print_rows(rows, as_json=as_json, show=print_comparison)
    return ExitCode.PROVEN


@app.command()
def bisect(
    file: Annotated[Path, typer.Argument(help="A float ONNX file.")],
    calibration: Annotated[Path, typer.Option(help="An .npz with one array per input, first axis = samples.")],
    precision: Annotated[str, typer.Option(help="int8 or fp16.")] = "int8",
    target: TargetName = "cpu",
    sqnr_db_min: Annotated[float | None, typer.Option(help="In place of the gate of the precision.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Find the fewest layers that must keep a higher precision for every output to pass its gate."""
    from toolchain.measure.bisect import bisect_layers, print_bisection

    recipe = find_recipe(str(file), calibration=calibration)
    chosen = find_target(target, precision=precision)
    with _show_progress(quiet=quiet) as progress:
        found = bisect_layers(recipe, chosen, sqnr_db_min=sqnr_db_min, progress=progress)
    print_rows(found, as_json=as_json, show=print_bisection)
    return ExitCode.PROVEN if found["passed"] else ExitCode.PARITY


@app.command()
def bench(
    payloads: Annotated[list[Path], typer.Argument(help="Bundles or .onnx files; the first is the reference.")],
    data: Annotated[Path | None, typer.Option(help="An .npz; a bundle brings its own.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of the runtime.")] = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Measure latency, interleaved, with confidence bounds."""
    from toolchain.measure.bench import bench_payloads, print_bench
    from toolchain.pipeline import show_steps

    with _show_progress(quiet=quiet) as progress:
        rows = bench_payloads(payloads, data=data, threads=threads, on_progress=show_steps(progress))
    print_rows(rows, as_json=as_json, show=print_bench)
    return ExitCode.PROVEN


@app.command()
def doctor(device: DeviceNames = None, as_json: AsJson = False) -> int:
    """Say what is installed here or on boards, what is missing, and how to get it."""
    from toolchain.measure.doctor import examine_machine, print_findings

    if device is not None:
        return examine_boards(device, as_json=as_json)
    findings = examine_machine()
    print_rows(findings, as_json=as_json, show=print_findings)
    return ExitCode.PROVEN if all(finding["ok"] for finding in findings["needed"]) else ExitCode.MISSING


@app.command()
def models(as_json: AsJson = False) -> int:
    """List the models."""
    print_rows({name: str(path) for name, path in list_models().items()}, as_json=as_json)
    return ExitCode.PROVEN


@app.command()
def targets(as_json: AsJson = False) -> int:
    """List the targets."""
    print_rows({name: str(path) for name, path in list_targets().items()}, as_json=as_json)
    return ExitCode.PROVEN


@app.command()
def methods(as_json: AsJson = False) -> int:
    """List the compression methods."""
    from toolchain.compress import list_methods

    print_rows(list_methods(), as_json=as_json)
    return ExitCode.PROVEN


add_board_commands(app)


def main() -> None:
    """Run the command line and exit with the code of the contract."""
    # PyTorch's OpenMP threads spin while they wait. Where another process wants the cores, that is ruin: resnet8 over
    # 2,000 pictures took 23.6 s, and 1.9 s with threads that sleep (2 cores at load 5).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(run_command(app))


def _show_progress(*, quiet: bool, log: Path | None = None) -> Progress:
    return Progress(stream=sys.stderr, quiet=quiet, log_path=log)
