"""The commands of an artifact that is there: verify, lower."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from toolchain.agent.measure.settings import MeasureSettings
from toolchain.cli.devices import report_on_each
from toolchain.cli.options import (
    AsJson,
    DeviceNames,
    Quiet,
    TargetName,
    show_progress,
    take_settings,
)
from toolchain.errors import ExitCode, usage
from toolchain.project.agent_members import use_argument
from toolchain.project.device import Device, find_devices
from toolchain.project.find import find_recipe, find_target
from toolchain.report.shape import Report
from toolchain.run.extras import require_build
from toolchain.run.screen import Screen


@take_settings
def verify(
    bundle: Annotated[
        Path | None, typer.Argument(help="A bundle's folder; of a board its active release, if not given.")
    ] = None,
    device: DeviceNames = None,
    signers: Annotated[
        Path | None,
        typer.Option(help="An allowed_signers file of OpenSSH: whose bundles are measured here, and no others."),
    ] = None,
    member: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:NAME=FILE.py", help="Your file of a metric or decoder that the recipe named as FILE.py:NAME."
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    *,
    settings: MeasureSettings,
) -> int:
    """Prove a bundle again: parity, metric, latency. Nothing is rebuilt or sent; a board renews the release's verdict."""
    from toolchain.measure.verify import verify_bundle, verify_on_board

    for text in member or ():
        use_argument(text)
    units: list[Device | None] = [None] if device is None else [*find_devices(device)]
    if device is not None and signers is not None:
        fix = "leave --signers out; `toolchain enroll` tells a board whose bundles it takes"
        raise usage("a board knows itself whose bundles it takes", where="--signers", fix=fix)

    def verify_on(unit: Device | None) -> Report:
        with show_progress(quiet=quiet) as progress:
            if unit is None:
                if bundle is None:
                    raise usage("there is no bundle to prove", where="BUNDLE", fix="name its folder, or a --device")
                return verify_bundle(bundle, settings=settings, progress=progress, signers=signers)
            return verify_on_board(bundle, unit, settings=settings, progress=progress)

    return report_on_each(units, verify_on, as_json=as_json)


def lower(
    file: Annotated[Path, typer.Argument(help="A float ONNX file.")],
    calibration: Annotated[Path, typer.Option(help="An .npz with one array per input, first axis = samples.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where model.onnx and lowering.json go.")],
    precision: Annotated[str, typer.Option(help="int8, fp16, bf16 or float32.")] = "int8",
    target: TargetName = "cpu",
    quiet: Quiet = False,
) -> int:
    """Lower an ONNX file that is already there."""
    require_build("lower")
    from toolchain.pipeline import lower_file

    recipe = find_recipe(str(file), calibration=calibration)
    chosen = find_target(target, precision=precision)
    with show_progress(quiet=quiet) as progress:
        lower_file(recipe, chosen, out=out, progress=progress)
    Screen(sys.stdout).line(str(out / "model.onnx"))
    return ExitCode.PROVEN
