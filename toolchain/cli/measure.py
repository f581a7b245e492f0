"""The commands that measure and judge: inspect, compare, bisect, bench, doctor."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolchain.cli.devices import examine_boards
from toolchain.cli.options import AsJson, DeviceNames, Quiet, TargetName, show_progress
from toolchain.cli.stdout import print_rows
from toolchain.errors import ExitCode
from toolchain.project.find import find_recipe, find_target
from toolchain.run.extras import require_build

if TYPE_CHECKING:
    from toolchain.deploy.transport import OnProgress


def inspect(
    path: Annotated[Path, typer.Argument(help="An .onnx file, a bundle, a deploy's folder, or a board's release.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Show inputs, outputs, MACs, memory and operators, and what each target would take of it; nothing is run."""
    from toolchain.measure.inspect import inspect_path
    from toolchain.measure.print_inspection import print_inspection

    with show_progress(quiet=quiet) as progress:
        found = inspect_path(path, progress=progress)
    print_rows(found, as_json=as_json, show=print_inspection)
    return ExitCode.PROVEN


def compare(
    a: Annotated[Path, typer.Argument(help="A bundle's folder, an .onnx file, or a report.json.")],
    b: Annotated[Path, typer.Argument(help="What may take its place: of the same kind.")],
    data: Annotated[Path | None, typer.Option(help="An .npz; a bundle brings its own.")] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also every tensor that both have.")] = False,
    sqnr_db_min: Annotated[float, typer.Option(help="Of models: what every output must keep.")] = 20.0,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with another code than 0 where B is worse.")] = False,
    metric_drop_max: Annotated[float, typer.Option(min=0, help="Of reports: in the unit of the metric.")] = 0.0,
    slowdown_max: Annotated[float, typer.Option(min=1, help="Of reports: p50 of B over that of A.")] = 1.05,
    size_growth_max: Annotated[float, typer.Option(min=1, help="Of reports: bytes of B over those of A.")] = 1.05,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Compare what two models return for the same real data, or what two reports say."""
    from toolchain.measure.compare_reports import Limits, compare_reports, find_reports, print_reports

    reports = find_reports(a, b)
    if reports is not None:
        limits = Limits(metric_drop_max=metric_drop_max, slowdown_max=slowdown_max, size_growth_max=size_growth_max)
        found = compare_reports(*reports, limits=limits if gate else None)
        print_rows(found, as_json=as_json, show=print_reports)
        return int(found.get("exit_code", ExitCode.PROVEN))
    return _compare_models(
        a, b, data=data, layers=layers, sqnr_db_min=sqnr_db_min, gate=gate, as_json=as_json, quiet=quiet
    )


def _compare_models(
    a: Path,
    b: Path,
    *,
    data: Path | None,
    layers: bool,
    sqnr_db_min: float,
    gate: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    from toolchain.measure.compare import compare_models, judge_comparison, print_comparison
    from toolchain.measure.payload import confine_payloads, read_data

    samples = read_data(data)

    def work(on_progress: OnProgress) -> list[dict[str, Any]]:
        return compare_models(a, b, data=samples, layers=layers, on_progress=on_progress, sqnr_db_min=sqnr_db_min)

    with show_progress(quiet=quiet) as progress:
        rows = confine_payloads([a, b], work, progress=progress)
    failures = judge_comparison(rows, sqnr_db_min) if gate else None
    print_rows(rows, as_json=as_json, show=partial(print_comparison, failures=failures))
    return ExitCode.PARITY if failures else ExitCode.PROVEN


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
    require_build("bisect")
    from toolchain.measure.bisect import bisect_layers, print_bisection

    recipe = find_recipe(str(file), calibration=calibration)
    chosen = find_target(target, precision=precision)
    with show_progress(quiet=quiet) as progress:
        found = bisect_layers(recipe, chosen, sqnr_db_min=sqnr_db_min, progress=progress)
    print_rows(found, as_json=as_json, show=print_bisection)
    return ExitCode.PROVEN if found["passed"] else ExitCode.PARITY


def bench(
    payloads: Annotated[list[Path], typer.Argument(help="Bundles or .onnx files; the first is the reference.")],
    data: Annotated[Path | None, typer.Option(help="An .npz; a bundle brings its own.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="In place of those that a bundle ships with.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Measure latency, interleaved, with confidence bounds."""
    from toolchain.measure.bench import bench_payloads, print_bench
    from toolchain.measure.payload import confine_payloads, read_data

    samples = read_data(data)

    def work(on_progress: OnProgress) -> list[dict[str, Any]]:
        return bench_payloads(payloads, data=samples, threads=threads, on_progress=on_progress)

    with show_progress(quiet=quiet) as progress:
        rows = confine_payloads(payloads, work, progress=progress)
    print_rows(rows, as_json=as_json, show=print_bench)
    return ExitCode.PROVEN


def doctor(device: DeviceNames = None, as_json: AsJson = False) -> int:
    """Say what is installed here or on boards, what is missing, and how to get it."""
    from toolchain.measure.doctor import examine_machine, print_findings

    if device is not None:
        return examine_boards(device, as_json=as_json)
    findings = examine_machine()
    print_rows(findings, as_json=as_json, show=print_findings)
    return ExitCode.PROVEN if all(finding["ok"] for finding in findings["needed"]) else ExitCode.MISSING
