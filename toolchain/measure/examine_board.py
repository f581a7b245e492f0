"""What a board has and what it lacks for its target, and how to get it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toolchain.agent.install.board_facts import BoardFacts
from toolchain.agent.measure.facts import Facts, check_compatible
from toolchain.deploy.board import ROOT_ARGUMENT
from toolchain.deploy.reach import reach_board
from toolchain.deploy.words import read_board_facts, read_facts
from toolchain.errors import ExitCode, ToolchainError
from toolchain.project.device import Device
from toolchain.project.find import find_target
from toolchain.project.target import Target


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
            for runtime in target.runtimes:
                said, error = board.ask("facts", "--runtime", runtime, "--root", ROOT_ARGUMENT)
                if not facts:
                    facts = said
                    _check_tools(read_board_facts(said), target, check)
                if error is not None:
                    raise error
                found = _name_runtime(target, read_facts(said, runtime)[0])
                check(f"target {target.name}", ok=True, found=found)
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
    check_compatible(target.describe_compatible(), own)
    return f"{own.runtime} {own.runtime_version} on {own.arch}"
