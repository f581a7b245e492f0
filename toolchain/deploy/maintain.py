"""What is asked of a board without a deploy: what lies there, its previous release, whom it trusts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.agent.install.enroll import list_signers
from toolchain.agent.install.signature import NAMESPACE
from toolchain.deploy import words
from toolchain.deploy.board import ROOT_ARGUMENT, describe_caller
from toolchain.deploy.reach import reach_board
from toolchain.errors import usage
from toolchain.project.device import Device
from toolchain.run.progress import Progress, show_steps


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
        said = words.read_rollback(board.run("rollback", *arguments, on_progress=show_steps(progress)).document)
        after = words.read_status(board.run("status", "--root", ROOT_ARGUMENT).document)
        if after["current"] != said.bundle_id:
            raise words.contradict(
                "current", f"the release that it went back to, {said.bundle_id}", str(after["current"])
            )
    return {
        **after,
        "rolled_back": {"from": said.replaced, "to": said.bundle_id},
        "measurements": said.measurements,
        "notes": list(said.notes),
    }


def enroll_signers(device: Device, signers: Path) -> Mapping[str, Any]:
    """Replace a board's allowed_signers; returns {"signers", "replaced"}, the lines that it has now and had before."""
    try:
        data = signers.read_bytes()
    except OSError as error:
        raise usage(
            "the file of signers cannot be read",
            where=str(signers),
            expected=f'lines such as: ci@example.org namespaces="{NAMESPACE}" ssh-ed25519 AAAA...',
            found=error.strerror,
            fix="write it from the public keys of those who sign; see ssh-keygen(1), ALLOWED SIGNERS",
        ) from error
    sent = list_signers(data, str(signers))
    header = json.dumps({"bytes": len(data)}).encode() + b"\n"
    arguments = ("--root", ROOT_ARGUMENT, "--who", describe_caller())
    with reach_board(device) as board:
        return words.read_signers(board.run("enroll", *arguments, data=header + data).document, sent)
