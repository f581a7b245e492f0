"""Proves again what a deploy left: a bundle on this machine, or the release of a board; nothing is rebuilt or sent."""

from __future__ import annotations

from pathlib import Path

from toolchain.agent.bundle_files import MANIFEST_NAME, SIGNATURE_NAME
from toolchain.agent.install.signature import check_data
from toolchain.agent.manifest import Manifest, compute_bundle_id, parse_manifest, read_manifest
from toolchain.agent.measure.settings import MeasureSettings, list_arguments
from toolchain.deploy.answer import judge_answer
from toolchain.deploy.board import ROOT_ARGUMENT, describe_caller
from toolchain.deploy.local import measure_folder
from toolchain.deploy.pin import read_pin
from toolchain.deploy.reach import reach_board
from toolchain.deploy.transport import Measured
from toolchain.deploy.words import read_check, read_measured
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.project.device import Device
from toolchain.project.find import find_target
from toolchain.report.document import build_report, describe_signature
from toolchain.report.shape import Report
from toolchain.run.progress import Progress, show_steps
from toolchain.run.provenance import describe_run


def verify_bundle(bundle: Path, *, settings: MeasureSettings, progress: Progress) -> Report:
    """Prove a bundle on this machine again, as it lies there, and return the verdict; nothing is written.

    It is measured by this toolchain's own agent: nothing that lies in a bundle is executed, whoever made it. Where a deploy
    has proven a payload of it, that payload is proven, or none.
    Raises ToolchainError as the agent does: exit 10, 11, 12 or 23 for a bundle that is not what it should be; 10 too where
    the signature beside it is none of its manifest.
    """
    with progress.stage("verify"):
        read_manifest(bundle)  # before whatever knows the folder by another path
        _check_signature(bundle)
        pinned = read_pin(bundle)
        measured = measure_folder(bundle, settings, show_steps(progress), pinned=pinned)
        return _report_bundle(bundle, measured, device=None, pinned=pinned, settings=settings)


def verify_on_board(bundle: Path | None, device: Device, *, settings: MeasureSettings, progress: Progress) -> Report:
    """Have a board prove the release again that was made from a bundle, and renew its verdict; nothing is sent.

    Without a bundle it is the active release, whatever that is; the report then goes by the manifest that the board has.
    """
    arguments = ["--root", ROOT_ARGUMENT, "--who", describe_caller(), *list_arguments(settings)]
    pin: str | None = None
    if bundle is not None:
        manifest, bundle_id = read_manifest(bundle)
        _check_target(manifest, device, where=str(bundle))
        pin = read_pin(bundle)
        arguments += ["--bundle", bundle_id, *([] if pin is None else ["--pinned", pin])]
    with progress.stage("verify"), reach_board(device) as board:
        said = read_check(board.run("check", *arguments, on_progress=show_steps(progress)).document)
    measured, pinned = read_measured(said), pin or said.pinned
    if bundle is not None:
        return _report_bundle(bundle, measured, device=device.name, pinned=pinned, settings=settings)
    data = said.manifest.encode("utf-8")
    _check_target(parse_manifest(data), device, where=device.name)
    return _report_again(
        data,
        measured,
        device=device.name,
        pinned=pinned,
        is_signed=said.signed,
        folder=Path(said.folder),
        settings=settings,
    )


def _check_target(manifest: Manifest, device: Device, *, where: str) -> None:
    own = find_target(device.target)
    if manifest.target != own.name:
        raise usage(
            f"the bundle is for another target than the device {device.name}",
            where=where,
            expected=own.name,
            found=manifest.target,
            fix="name another device, or the bundle that was deployed to this one",
        )


def _check_signature(bundle: Path) -> None:
    """Refuse (exit 10) a signature that is of another manifest, or none; whose it is, is for boards to judge."""
    path = bundle / SIGNATURE_NAME
    if not path.is_file():
        return
    try:
        check_data((bundle / MANIFEST_NAME).read_bytes(), path)
    except ToolchainError as error:
        if error.code == ExitCode.SIGNATURE:  # else there is no ssh-keygen that can tell: the report says "not checked"
            raise


def _report_bundle(
    bundle: Path, measured: Measured, *, device: str | None, pinned: str | None, settings: MeasureSettings
) -> Report:
    """Return the report of a bundle that was verified again, outside of a deploy."""
    return _report_again(
        (bundle / MANIFEST_NAME).read_bytes(),
        measured,
        device=device,
        pinned=pinned,
        is_signed=(bundle / SIGNATURE_NAME).exists(),
        folder=bundle,
        settings=settings,
    )


def _report_again(
    manifest_bytes: bytes,
    measured: Measured,
    *,
    device: str | None,
    pinned: str | None,
    is_signed: bool,
    folder: Path,
    settings: MeasureSettings,
) -> Report:
    """Return the report of a bundle that was verified again and lies in a folder: of this machine, or of a board."""
    manifest = parse_manifest(manifest_bytes)
    bundle_id = compute_bundle_id(manifest_bytes)
    answer = judge_answer(measured, manifest, bundle_id, is_signed=is_signed, pinned=pinned, settings=settings)
    return build_report(
        record=answer.record,
        judgement=answer.judgement,
        manifest=manifest,
        stages=[],
        provenance=describe_run(folder),
        signature=describe_signature(is_signed=is_signed, signer=measured.signer),
        signer=measured.signer,
        device=device,
        bundle_path=str(folder),
    )
