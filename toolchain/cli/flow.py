"""The commands of the whole flow and of an artifact that is there: deploy, verify, lower."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from toolchain.agent.measure.settings import MeasureSettings
from toolchain.cli.devices import report_on_each
from toolchain.cli.options import (
    AsJson,
    Calibration,
    DeviceNames,
    Model,
    PrecisionName,
    Quiet,
    TargetName,
    TargetOfDevice,
    show_progress,
    take_settings,
)
from toolchain.cli.outcome import begin_reports, report_errors
from toolchain.cli.places import find_places
from toolchain.cli.summary import hand_summaries
from toolchain.errors import ExitCode, usage
from toolchain.project.agent_members import use_argument
from toolchain.project.device import Device, find_devices
from toolchain.project.find import choose_target, find_recipe, find_target
from toolchain.report.shape import Report
from toolchain.run.screen import Screen


@take_settings
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
    summary: Annotated[
        Path | None, typer.Option(help="A file for the result in Markdown; GitHub's page of the job gets it anyway.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    *,
    settings: MeasureSettings,
) -> int:
    """Run the whole flow: a proven artifact on the board, or an exit code that says why not."""
    places = find_places(model, target=target, device=device, out=out)
    with hand_summaries(places, summary):
        with begin_reports(places):
            from toolchain.deploy.reach import open_transport
            from toolchain.pipeline import Order, deploy_model
            from toolchain.project.freshness import choose_freshness

            recipe = find_recipe(model, calibration=calibration, evaluates=True)
            units: list[Device | None] = [None] if device is None else [*find_devices(device)]
            chosen = {unit: choose_target(unit, target, precision=precision) for unit in units}
            if len(places) != len(units):
                raise usage(
                    "a name of the model, the target or the device cannot be that of a folder",
                    where="MODEL, --target or --device",
                    expected="letters and digits, and none of / \\ * ? [",
                    found=" ".join(name for name in (recipe.name, target, device) if name),
                    fix="name a folder with --out, or give the file another name",
                )
            freshness = choose_freshness(recipe.folder, counter=counter, expires_days=expires_days)
        place_of = dict(zip(units, places, strict=True))

        def deploy_to(unit: Device | None) -> Report:
            place = place_of[unit]
            own_key = None if unit is None or unit.sign is None else unit.resolve(unit.sign)
            order = Order(
                settings=settings,
                freshness=freshness,
                sign_with=sign or own_key,
            )
            with (
                open_transport(unit, place.folder) as transport,
                report_errors(place),
                show_progress(quiet=quiet, log=place.folder / "log.jsonl") as progress,
            ):
                return deploy_model(
                    recipe, chosen[unit], out=place.folder, transport=transport, order=order, progress=progress
                )

        return report_on_each(units, deploy_to, as_json=as_json, find_out=lambda unit: place_of[unit].folder)


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
    from toolchain.pipeline import lower_file

    recipe = find_recipe(str(file), calibration=calibration)
    chosen = find_target(target, precision=precision)
    with show_progress(quiet=quiet) as progress:
        lower_file(recipe, chosen, out=out, progress=progress)
    Screen(sys.stdout).line(str(out / "model.onnx"))
    return ExitCode.PROVEN
