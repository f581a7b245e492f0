"""The command deploy: a model through the whole flow, or a bundle that was made elsewhere through its last steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.settings import MeasureSettings
from toolchain.cli.devices import report_on_each
from toolchain.cli.options import (
    AsJson,
    Calibration,
    DeviceNames,
    ModelOrBundle,
    PrecisionName,
    Quiet,
    TargetOfDevice,
    show_progress,
    take_settings,
)
from toolchain.cli.outcome import begin_reports, report_errors
from toolchain.cli.places import find_places
from toolchain.cli.summary import hand_summaries
from toolchain.errors import usage
from toolchain.project.device import Device, find_devices
from toolchain.project.find import choose_target, find_bundle, find_recipe, locate_target
from toolchain.report.shape import Report
from toolchain.run.extras import require_build
from toolchain.run.progress import Progress


@dataclass(frozen=True, kw_only=True)
class _Wishes:
    """What the command line asks for; None where it says nothing."""

    model: str
    target: str | None
    precision: str | None
    calibration: Path | None
    sign: Path | None
    counter: int | None
    expires_days: int | None
    settings: MeasureSettings


# Gets the unit, the folder of its results, its transport (toolchain/deploy/transport.py) and what shows the progress.
_Deploy = Callable[[Device | None, Path, Any, Progress], Report]


@take_settings
def deploy(
    model: ModelOrBundle,
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
    """Run the whole flow: a proven artifact on the board, or an exit code that says why not.

    A bundle that was made elsewhere is brought to the board and proven there; nothing is built.
    """
    places = find_places(model, target=target, device=device, out=out)
    with hand_summaries(places, summary):
        with begin_reports(places):
            from toolchain.deploy.reach import open_transport

            units: list[Device | None] = [None] if device is None else [*find_devices(device)]
            wishes = _Wishes(
                model=model,
                target=target,
                precision=precision,
                calibration=calibration,
                sign=sign,
                counter=counter,
                expires_days=expires_days,
                settings=settings,
            )
            bundle = find_bundle(model)
            run = _plan_model(wishes, units) if bundle is None else _plan_bundle(bundle, wishes, units)
            if len(places) != len(units):
                raise usage(
                    "a name of the model, the target or the device cannot be that of a folder",
                    where="MODEL, --target or --device",
                    expected="letters and digits, and none of / \\ * ? [",
                    found=" ".join(name for name in (model, target, device) if name),
                    fix="name a folder with --out, or give the file another name",
                )
        place_of = dict(zip(units, places, strict=True))

        def deploy_to(unit: Device | None) -> Report:
            place = place_of[unit]
            with (
                open_transport(unit, place.folder) as transport,
                report_errors(place),
                show_progress(quiet=quiet, log=place.folder / "log.jsonl") as progress,
            ):
                return run(unit, place.folder, transport, progress)

        return report_on_each(units, deploy_to, as_json=as_json, find_out=lambda unit: place_of[unit].folder)


def _plan_model(wishes: _Wishes, units: Sequence[Device | None]) -> _Deploy:
    """Return what deploys a model, whose recipe and targets are read now."""
    require_build(f"deploy {wishes.model}")
    from toolchain.pipeline import Order, deploy_model
    from toolchain.project.freshness import choose_freshness

    recipe = find_recipe(wishes.model, calibration=wishes.calibration, evaluates=True)
    chosen = {unit: choose_target(unit, wishes.target, precision=wishes.precision) for unit in units}
    freshness = choose_freshness(recipe.folder, counter=wishes.counter, expires_days=wishes.expires_days)

    def run(unit: Device | None, out: Path, transport: Any, progress: Progress) -> Report:
        own_key = None if unit is None or unit.sign is None else unit.resolve(unit.sign)
        order = Order(settings=wishes.settings, freshness=freshness, sign_with=wishes.sign or own_key)
        return deploy_model(recipe, chosen[unit], out=out, transport=transport, order=order, progress=progress)

    return run


def _plan_bundle(bundle: Path, wishes: _Wishes, units: Sequence[Device | None]) -> _Deploy:
    """Return what deploys a bundle; refuses (exit 2) what was said when it was built.

    A device's own key signs nothing here: it would vouch for whatever lies in a folder. --sign does.
    """
    from toolchain.prove import deploy_bundle

    manifest, _ = read_manifest(bundle)
    built = {
        "--precision": wishes.precision,
        "--calibration": wishes.calibration,
        "--counter": wishes.counter,
        "--expires-days": wishes.expires_days,
    }
    for option, value in built.items():
        if value is not None:
            raise usage(
                "a bundle is not built again",
                where=option,
                expected="a model beside it",
                found=f"the bundle {bundle}",
                fix=f"leave {option} out, or give it where the bundle is built",
            )
    if wishes.target is not None and locate_target(wishes.target)[0] != manifest.target:
        raise usage(
            "the bundle is for another target",
            where="--target",
            expected=manifest.target,
            found=wishes.target,
            fix="leave --target out, or take the bundle that was built for it",
        )
    chosen = {unit: None if unit is None else choose_target(unit, wishes.target, precision=None) for unit in units}

    def run(unit: Device | None, out: Path, transport: Any, progress: Progress) -> Report:
        return deploy_bundle(
            bundle,
            chosen[unit],
            out=out,
            transport=transport,
            settings=wishes.settings,
            sign_with=wishes.sign,
            progress=progress,
        )

    return run
