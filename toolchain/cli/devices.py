"""The commands that are about boards alone: devices, status, rollback, enroll."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from toolchain.agent.measure.quantities import write_megabytes, write_ms
from toolchain.cli.completion import suggest_devices
from toolchain.cli.options import AsJson, DeviceName, Quiet, show_progress
from toolchain.cli.stdout import print_rows, show_report
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.project.device import DEVICES_FILE, Device, explain_no_devices, find_devices, read_devices
from toolchain.report.shape import Report
from toolchain.run.screen import Screen


def devices(as_json: AsJson = False) -> int:
    """List the boards of devices.toml, and whether each can be reached."""
    path = Path.cwd() / DEVICES_FILE
    known = read_devices(path)
    if not known and not as_json:
        Screen(sys.stdout).lines(explain_no_devices(path))
        return ExitCode.PROVEN
    from toolchain.deploy.reach import check_reach

    # All at once: of boards that are switched off, each takes its time.
    with ThreadPoolExecutor(max_workers=max(1, len(known))) as pool:
        rows = dict(zip(known, pool.map(check_reach, known.values()), strict=True))
    print_rows(rows, as_json=as_json, show=_print_devices)
    return ExitCode.PROVEN


def status(device: DeviceName, as_json: AsJson = False) -> int:
    """Show what lies on a board: the active release, what of it was proven, whether that still holds, the audit trail.

    Exits with 25 where the verdict expired, and with 11 where the release is not what was proven.
    """
    from toolchain.deploy.maintain import read_status

    document = read_status(_find_device(device))
    print_rows(document, as_json=as_json, show=_print_status)
    return int(document["exit_code"])


def rollback(device: DeviceName, as_json: AsJson = False, quiet: Quiet = False) -> int:
    """Make a board's previous release the active one again, once the board has proven it.

    Exits with 25 where that is done, but the board would not take the release any more: a revoked key, a date.
    """
    from toolchain.deploy.maintain import roll_back

    unit = _find_device(device)
    with show_progress(quiet=quiet) as progress:
        document = roll_back(unit, progress)
    print_rows(document, as_json=as_json, show=_print_rolled_back)
    return int(document["exit_code"])


def enroll(
    named: Annotated[
        str | None,
        typer.Argument(metavar="DEVICE", help="The same as --device.", autocompletion=suggest_devices),
    ] = None,
    *,
    signers: Annotated[Path, typer.Option(help="An allowed_signers file of OpenSSH: whose bundles the boards take.")],
    device: Annotated[
        str | None,
        typer.Option(help=f"Boards of {DEVICES_FILE}, as in a,b,c.", autocompletion=suggest_devices),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Tell boards whose signatures they trust; from then on they take no unsigned bundle."""
    from toolchain.deploy.maintain import enroll_signers

    if (named is None) == (device is None):
        raise usage(
            "it takes a board to tell whom to trust" if named is None else "the board is named in two ways",
            where="--device",
            expected=f"boards of {DEVICES_FILE}, as in a,b,c",
            found="none" if named is None else f"{named} and {device}",
            fix="name them with --device",
        )
    units = find_devices(named or device or "")
    documents = {}
    for unit in units:
        documents[unit.name] = document = enroll_signers(unit, signers)
        if not as_json:
            if len(units) > 1:
                Screen(sys.stdout).line(f"{unit.name}:")
            print_rows(document, as_json=False, show=_print_enrolled)
    if as_json:
        print_rows(documents if len(units) > 1 else documents[units[0].name], as_json=True)
    return ExitCode.PROVEN


def examine_boards(names: str, *, as_json: bool) -> int:
    """Print what boards have and lack; returns the exit code of the first that lacks something."""
    from toolchain.measure.examine_board import examine_board

    rows = [examine_board(device) for device in find_devices(names)]
    print_rows(rows, as_json=as_json, show=_print_examined)
    return next((row["exit_code"] for row in rows if row["exit_code"]), ExitCode.PROVEN)


def report_on_each(
    units: Sequence[Device | None],
    run: Callable[[Device | None], Report],
    *,
    as_json: bool,
    find_out: Callable[[Device | None], Path] | None = None,
) -> int:
    """Run something on every unit and show the reports; returns the exit code of the first that did not pass.

    Several are run one after the other, and an error on one does not keep the others from their turn. None among the
    units is this machine.
    """
    if len(units) == 1:
        return show_report(run(units[0]), as_json=as_json, out=find_out(units[0]) if find_out else None)
    outcomes: dict[str, Report | ToolchainError] = {}
    screen = Screen(sys.stderr)
    for unit in units:
        name = unit.name if unit is not None else "this machine"
        screen.line(f"{name}:")
        try:
            report = outcomes[name] = run(unit)
        except ToolchainError as error:
            screen.error(error)
            outcomes[name] = error
        else:
            show_report(report, as_json=as_json, out=find_out(unit) if find_out else None, is_part=True)
    code = next((_read_code(outcome) for outcome in outcomes.values() if _read_code(outcome)), ExitCode.PROVEN)
    if as_json:
        devices = {
            name: item if not isinstance(item, ToolchainError) else {"error": item.to_dict()}
            for name, item in outcomes.items()
        }
        print_rows({"exit_code": int(code), "devices": devices}, as_json=True)
    else:
        print_rows({name: _describe_outcome(outcome) for name, outcome in outcomes.items()}, as_json=False)
    return int(code)


def _read_code(outcome: Report | ToolchainError) -> int:
    return int(outcome.code) if isinstance(outcome, ToolchainError) else outcome["exit_code"]


def _describe_outcome(outcome: Report | ToolchainError) -> str:
    if isinstance(outcome, ToolchainError):
        return f"FAIL  {outcome.what} (exit {int(outcome.code)})"
    return f"{outcome['verdict'].upper()}  {outcome['model']} {outcome['precision']} (exit {outcome['exit_code']})"


def _find_device(name: str) -> Device:
    found = find_devices(name)
    if len(found) > 1:
        raise usage(
            "this command is for one device",
            where="--device",
            expected="one name",
            found=name,
            fix=f"name {found[0].name}, or another one of them",
        )
    return found[0]


def _print_devices(rows: Mapping[str, Mapping[str, Any]], *, stream: TextIO) -> None:
    screen = Screen(stream)
    width = max(map(len, rows))
    for name, row in rows.items():
        state = "reachable" if row["reachable"] else f"NOT reachable: {row['problem']}"
        screen.line(f"{name:<{width}}  {row['target']}  {row['place']}  {state}")
        if not row["reachable"]:
            screen.line(f"  fix: {row['fix']}")


def _print_examined(rows: Sequence[Mapping[str, Any]], *, stream: TextIO) -> None:
    screen = Screen(stream)
    for row in rows:
        screen.line(f"{row['device']}, for the target {row['target']}")
        for check in row["checks"]:
            state = "ok" if check["ok"] else "MISSING"
            screen.line(f"  {check['name']:<22}  {state}  {check['found']}")
            if check["fix"]:
                screen.line(f"    fix: {check['fix']}")
        for name, value in row["facts"].items():
            text = " ".join(map(str, value)) if isinstance(value, list) else value
            screen.line(f"  {name:<22}  {'none' if text in (None, '') else text}")


def _print_status(document: Mapping[str, Any], *, stream: TextIO) -> None:
    screen = Screen(stream)
    _print_state(document, screen)
    _print_list("release", document["releases"], screen)
    _print_list("log", document["log_tail"], screen)
    _print_list("log damage", document["log_damage"], screen)


def _print_rolled_back(document: Mapping[str, Any], *, stream: TextIO) -> None:
    screen = Screen(stream)
    switched = document["rolled_back"]
    screen.line(f"rolled back: {switched['from']} -> {switched['to']}")
    _print_state(document, screen)
    _print_list("note", document["notes"], screen)


def _print_state(document: Mapping[str, Any], screen: Screen) -> None:
    for name in ("current", "previous", "counter"):
        value = document[name]
        screen.line(f"{name:<8}  {'none' if value is None else value}")
    verdict, damage = document["verdict"], document["damage"]
    if verdict is not None:
        signed = f"signed by {verdict['signer']}" if verdict["signer"] else "unsigned"
        screen.line(f"{'proven':<8}  {verdict['model']} {verdict['precision']}, {verdict['time']}, {signed}")
        screen.line(f"{'payload':<8}  {verdict['payload']}  sha256 {verdict['sha256']}")
        took = describe_took(document["log_tail"], document["current"])
        if took:
            screen.line(f"{'takes':<8}  {took}")
        if verdict["engine"] is not None:
            screen.line(f"{'engine':<8}  {verdict['engine']['path']}  sha256 {verdict['engine']['sha256']}")
    if document["current"] is not None:
        screen.line(f"{'active':<8}  {'as its manifest says' if damage is None else 'DAMAGED: deploy again'}")
    if damage is not None:
        parts = (damage["what"], damage["where"], damage["found"] and f"found {damage['found']}")
        screen.line(f"  {': '.join(filter(None, parts))}")
    for reason in document["reasons"]:
        screen.line(f"expired: {reason}")
    if document["reasons"]:
        screen.line("  fix: toolchain verify --device NAME proves it again in place; or deploy again")


def describe_took(lines: Sequence[Mapping[str, Any]], current: object) -> str:
    """Return what the active release takes, as the last line of a board's log has it that tells it; whatever stands there."""
    own = [line for line in lines if isinstance(line, Mapping) and line.get("bundle_id") == current]
    found = [line["took"] for line in own if line.get("took")]
    took = found[-1] if found and isinstance(found[-1], Mapping) else {}
    start_ms, peak_bytes, batch = (took.get(name) for name in ("start_ms", "peak_bytes", "batch"))
    parts = []
    if isinstance(start_ms, (int, float)):
        parts.append(f"{write_ms(start_ms)} from start to the first answer")
    if isinstance(peak_bytes, int) and isinstance(batch, int):
        parts.append(f"{write_megabytes(peak_bytes)} of memory at batch {batch}")
    return ", ".join(parts)


def _print_enrolled(document: Mapping[str, Any], *, stream: TextIO) -> None:
    screen = Screen(stream)
    _print_list("trusts", document["signers"], screen)
    _print_list("replaced", document["replaced"], screen)


def _print_list(name: str, items: Sequence[Any], screen: Screen) -> None:
    for item in items:
        screen.line(f"{name:<8}  {item if isinstance(item, str) else json.dumps(item)}")
