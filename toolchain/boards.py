"""What commands do with boards: reach one, deploy to several, look at what lies there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from toolchain.agent.install.board_facts import BoardFacts
from toolchain.agent.install.enroll import list_signers
from toolchain.agent.manifest import Compatible, Manifest, parse_manifest, read_manifest
from toolchain.agent.measure.facts import Facts, check_compatible
from toolchain.agent.measure.settings import MeasureSettings, list_arguments
from toolchain.deploy import words
from toolchain.deploy.board import ROOT_ARGUMENT, Board, describe_caller
from toolchain.deploy.connection import Connection
from toolchain.deploy.local import LocalTransport
from toolchain.deploy.pin import read_pin
from toolchain.deploy.remote import RemoteTransport
from toolchain.deploy.ssh import SshConnection
from toolchain.deploy.transport import Transport
from toolchain.deploy.words import read_board_facts, read_check, read_facts, read_install, read_measured, read_signers
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.pipeline import report_again, report_bundle, show_steps
from toolchain.project.device import Device
from toolchain.project.find import find_target
from toolchain.project.target import Target
from toolchain.report.shape import Report
from toolchain.run.progress import Progress


def reach_board(device: Device) -> Board:
    """Return the board of a device; entering it connects."""
    connection: Connection
    config = None if device.ssh_config is None else device.resolve(device.ssh_config)
    if device.labgrid is not None:
        from toolchain.deploy.labgrid import LabgridConnection

        connection = LabgridConnection(device.resolve(device.labgrid), config=config, stall_s=device.stall_s)
    else:
        connection = SshConnection(device.place, config=config, stall_s=device.stall_s)
    return Board(connection, root=device.root, python=device.python, stall_s=device.stall_s)


def open_transport(device: Device | None, out: Path) -> Transport:
    """Return the way to a device; None is this machine."""
    if device is None:
        return LocalTransport(out)
    return RemoteTransport(out, device=device.name, board=reach_board(device))


def choose_target(device: Device | None, asked: str | None, *, precision: str | None) -> Target:
    """Return the target that was asked for, or the device's own; raises ToolchainError (exit 2) where they differ."""
    if device is None:
        return find_target(asked or "cpu", precision=precision)
    target = find_target(device.target, precision=precision)
    if asked is not None and find_target(asked).path != target.path:
        raise usage(
            f"the device {device.name} is of another target",
            where="--target",
            expected=device.target,
            found=asked,
            fix="leave --target out, or correct target in devices.toml",
        )
    return target


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
        return report_bundle(bundle, measured, device=device.name, pinned=pinned)
    data = said.manifest.encode("utf-8")
    _check_target(parse_manifest(data), device, where=device.name)
    return report_again(
        data,
        measured,
        device=device.name,
        pinned=pinned,
        is_signed=said.signed,
        folder=Path(said.folder),
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


def read_status(device: Device) -> Mapping[str, Any]:
    """Return what lies on a board, which release is active, and whether its verdict still holds."""
    with reach_board(device) as board:
        return words.read_status(board.run("status", "--root", ROOT_ARGUMENT).document)


def roll_back(device: Device, progress: Progress) -> dict[str, Any]:
    """Make the previous release of a board the active one, once the board has proven it again.

    Returns what `status` says afterwards, and `rolled_back` {"from", "to"}, `measurements` and `notes` of the rollback.
    """
    with progress.stage("rollback"), reach_board(device) as board:
        arguments = ("--root", ROOT_ARGUMENT, "--who", describe_caller())
        said = read_install(board.run("rollback", *arguments, on_progress=show_steps(progress)).document)
        after = words.read_status(board.run("status", "--root", ROOT_ARGUMENT).document)
    return {
        **after,
        "rolled_back": {"from": said.replaced, "to": said.bundle_id},
        "measurements": said.measurements,
        "notes": list(said.notes),
    }


def examine_board(device: Device) -> dict[str, Any]:
    """Return what a board has and lacks: `checks` have `name`, `ok`, `found` and, where not ok, a `fix`."""
    target = find_target(device.target)
    checks: list[dict[str, Any]] = []

    def check(name: str, *, ok: bool, found: str, fix: str | None = None) -> None:
        checks.append({"name": name, "ok": ok, "found": found, "fix": None if ok else fix})

    facts: Mapping[str, Any] = {}
    try:
        with reach_board(device) as board:
            check("connection", ok=True, found=board.place)
            facts, error = board.ask("facts", "--runtime", target.runtime, "--root", ROOT_ARGUMENT)
        _check_tools(read_board_facts(facts), target, check)
        if error is not None:
            raise error
        check(f"target {target.name}", ok=True, found=_name_runtime(target, read_facts(facts)[0]))
    except ToolchainError as error:
        code = int(error.code)
        name = "connection" if error.code == ExitCode.UNREACHABLE else f"target {target.name}"
        check(name, ok=False, found=": ".join(filter(None, (error.what, error.found))), fix=error.fix)
        return {"device": device.name, "target": target.name, "exit_code": code, "facts": facts, "checks": checks}
    return {"device": device.name, "target": target.name, "exit_code": 0, "facts": facts, "checks": checks}


def _check_tools(board: BoardFacts, target: Target, check: Callable[..., None]) -> None:
    """Add what a board needs beside its runtime."""
    check(
        "ssh-keygen",
        ok=board.ssh_keygen is not None or target.signature == "optional",
        found=board.ssh_keygen or "none, so signatures cannot be checked",
        fix="install it on the board: apt-get install openssh-client",
    )
    check(
        "clock",
        ok=board.is_clock_plausible,
        found=board.time,
        fix="set the board's clock: bundles that expire are refused until then",
    )


def _name_runtime(target: Target, own: Facts) -> str:
    check_compatible(Compatible(**target.compatible.model_dump()), own)
    return f"{own.runtime} {own.runtime_version} on {own.arch}"


def check_reach(device: Device) -> dict[str, Any]:
    """Return whether a device can be reached, as {"target", "place", "reachable", "problem", "fix"}."""
    row: dict[str, Any] = {"target": device.target, "place": device.place, "reachable": True}
    try:
        with reach_board(device):
            return {**row, "problem": None, "fix": None}
    except ToolchainError as error:
        return {**row, "reachable": False, "problem": error.what, "fix": error.fix}


def enroll_signers(device: Device, signers: Path) -> Mapping[str, Any]:
    """Replace a board's allowed_signers; returns {"signers", "replaced"}, the lines that it has now and had before."""
    try:
        data = signers.read_bytes()
    except OSError as error:
        raise usage(
            "the file of signers cannot be read",
            where=str(signers),
            expected='lines such as: ci@example.org namespaces="edge-toolchain-bundle" ssh-ed25519 AAAA...',
            found=error.strerror,
            fix="write it from the public keys of those who sign; see ssh-keygen(1), ALLOWED SIGNERS",
        ) from error
    sent = list_signers(data, str(signers))
    header = json.dumps({"bytes": len(data)}).encode() + b"\n"
    arguments = ("--root", ROOT_ARGUMENT, "--who", describe_caller())
    with reach_board(device) as board:
        return read_signers(board.run("enroll", *arguments, data=header + data).document, sent)
