"""Proves again what a deploy left: a bundle on this machine, or the release of a board; nothing is rebuilt or sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolchain.agent.bundle_files import SIGNATURE_NAME
from toolchain.agent.manifest import Manifest, compute_bundle_id, parse_manifest, read_manifest_bytes
from toolchain.agent.measure.settings import MeasureSettings, list_arguments
from toolchain.bundle.agent_files import list_foreign_files
from toolchain.bundle.authenticate import authenticate_bundle
from toolchain.bundle.made_elsewhere import check_target
from toolchain.deploy.answer import judge_answer
from toolchain.deploy.board import ROOT_ARGUMENT, describe_caller
from toolchain.deploy.local import measure_folder
from toolchain.deploy.pin import read_pin
from toolchain.deploy.reach import reach_board
from toolchain.deploy.transport import Measured
from toolchain.deploy.words import read_check, read_measured
from toolchain.project.device import Device
from toolchain.project.find import find_target
from toolchain.report.document import build_report, describe_signature
from toolchain.report.shape import Report
from toolchain.run.progress import Progress, show_steps
from toolchain.run.provenance import describe_run


def verify_bundle(
    bundle: Path, *, settings: MeasureSettings, progress: Progress, signers: Path | None = None
) -> Report:
    """Prove a bundle on this machine again, as it lies there, and return the verdict; nothing is written.

    It is measured by this toolchain's own agent: nothing that lies in a bundle is executed, whoever made or signed it. Where
    a deploy has proven a payload of it, that payload is proven, or none.

    signers: an allowed_signers file; nobody else's bundle is measured then.

    Raises ToolchainError as the agent does: exit 10, 11, 12 or 23 for a bundle that is not what it should be; 10 too as
    authenticate_bundle does.
    """
    with progress.stage("verify"):
        data = read_manifest_bytes(bundle)
        signature = authenticate_bundle(bundle, data, signers)
        manifest = parse_manifest(data)
        pinned = read_pin(bundle)
        measured = measure_folder(bundle, settings, show_steps(progress), pinned=pinned)
    return _report_again(
        data,
        replace(measured, signer=signature.signer),
        device=None,
        pinned=pinned,
        is_signed=signature.is_there,
        folder=bundle,
        notes=_describe_agent(manifest),
        settings=settings,
    )


def verify_on_board(bundle: Path | None, device: Device, *, settings: MeasureSettings, progress: Progress) -> Report:
    """Have a board prove the release again that was made from a bundle, and renew its verdict; nothing is sent.

    Without a bundle it is the active release, whatever that is; the report then goes by the manifest that the board has.
    """
    arguments = ["--root", ROOT_ARGUMENT, "--who", describe_caller(), *list_arguments(settings)]
    pin: str | None = None
    if bundle is not None:
        data = read_manifest_bytes(bundle)
        check_target(parse_manifest(data), find_target(device.target), device=device.name, where=str(bundle))
        pin = read_pin(bundle)
        arguments += ["--bundle", compute_bundle_id(data), *([] if pin is None else ["--pinned", pin])]
    with progress.stage("verify"), reach_board(device) as board:
        said = read_check(board.run("check", *arguments, on_progress=show_steps(progress)).document)
    measured, pinned = read_measured(said), pin or said.pinned
    if bundle is not None:
        is_signed, folder = (bundle / SIGNATURE_NAME).exists(), bundle
    else:
        data, is_signed, folder = said.manifest.encode("utf-8"), said.signed, Path(said.folder)
        check_target(parse_manifest(data), find_target(device.target), device=device.name, where=device.name)
    return _report_again(
        data, measured, device=device.name, pinned=pinned, is_signed=is_signed, folder=folder, settings=settings
    )


def _describe_agent(manifest: Manifest) -> list[str]:
    """Return a note where the agent in a bundle is another one than that of this toolchain, which measured it here."""
    others = list_foreign_files(manifest)
    if not others:
        return []
    count = f"{len(others)} of its files" if len(others) > 1 else others[0]
    return [f"the agent in the bundle is another one than this toolchain's, which measured here: {count}"]


def _report_again(
    manifest_bytes: bytes,
    measured: Measured,
    *,
    device: str | None,
    pinned: str | None,
    is_signed: bool,
    folder: Path,
    settings: MeasureSettings,
    notes: Sequence[str] = (),
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
        provenance=describe_run(None),
        signature=describe_signature(is_signed=is_signed, signer=measured.signer),
        signer=measured.signer,
        device=device,
        notes=notes,
        bundle_path=str(folder),
    )
