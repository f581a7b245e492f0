"""The way to a device: its connection, its board, its transport."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolchain.deploy.board import Board
from toolchain.deploy.connection import Connection
from toolchain.deploy.local import LocalTransport
from toolchain.deploy.remote import RemoteTransport
from toolchain.deploy.ssh import SshConnection
from toolchain.deploy.transport import Transport
from toolchain.errors import ToolchainError
from toolchain.project.device import Device


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


def check_reach(device: Device) -> dict[str, Any]:
    """Return whether a device can be reached, as {"target", "place", "reachable", "problem", "fix"}."""
    row: dict[str, Any] = {"target": device.target, "place": device.place, "reachable": True}
    try:
        with reach_board(device):
            return {**row, "problem": None, "fix": None}
    except ToolchainError as error:
        return {**row, "reachable": False, "problem": error.what, "fix": error.fix}
