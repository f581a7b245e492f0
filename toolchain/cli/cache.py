"""The command that says what the cache holds, and takes away what nobody needs."""

from __future__ import annotations

import time
from typing import Annotated, Any, TextIO

import typer

from toolchain.cli.options import AsJson
from toolchain.cli.stdout import print_rows
from toolchain.errors import ExitCode, explain_storage, usage
from toolchain.run.cache import cache_root
from toolchain.run.cache_folder import open_root
from toolchain.run.prune import SIZE_VARIABLE, UNUSED_DAYS_MAX, list_entries, prune_cache, read_size_max_gb
from toolchain.run.screen import Screen

_DAY_S = 24 * 3600


def cache(
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what is beyond the limits and in nobody's use.")
    ] = False,
    older_than: Annotated[
        float | None, typer.Option(min=0, help=f"Days without use, in place of {UNUSED_DAYS_MAX:g}; with --prune.")
    ] = None,
    max_size_gb: Annotated[
        float | None, typer.Option(min=0, help=f"In place of {SIZE_VARIABLE} or its default; with --prune.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Say what the cache of results holds, or remove the longest unused."""
    if not prune and (older_than is not None or max_size_gb is not None):
        raise usage(
            "a limit removes nothing by itself",
            where="the command line",
            expected="--prune beside --older-than and --max-size-gb",
            found="no --prune",
            fix="add --prune",
        )
    root = cache_root()
    days = UNUSED_DAYS_MAX if older_than is None else older_than
    size_gb = read_size_max_gb() if max_size_gb is None else max_size_gb
    rows: dict[str, Any] = {"folder": str(root)}
    with explain_storage():
        if root.exists():
            open_root(root)
        if prune:
            pruned = prune_cache(root, unused_days_max=days, size_max_gb=size_gb)
            rows |= {"removed": pruned.entries, "removed_bytes": pruned.size_bytes}
        entries = list_entries(root)
    by_stage: dict[str, dict[str, int]] = {}
    for kept in entries:
        stage = by_stage.setdefault(kept.folder.parent.name, {"entries": 0, "size_bytes": 0})
        stage["entries"] += 1
        stage["size_bytes"] += kept.size_bytes
    rows |= {
        "entries": len(entries),
        "size_bytes": sum(kept.size_bytes for kept in entries),
        "unused_days": max(0.0, time.time() - entries[0].used_ns / 1e9) / _DAY_S if entries else None,
        "limits": {"size_gb": size_gb, "unused_days": days},
        "stages": dict(sorted(by_stage.items())),
    }
    print_rows(rows, as_json=as_json, show=_print_cache)
    return ExitCode.PROVEN


def _print_cache(rows: dict[str, Any], *, stream: TextIO) -> None:
    from toolchain.report.quantities import write_size

    limits, unused = rows["limits"], rows["unused_days"]
    lines = {
        "folder": rows["folder"],
        "results": f"{rows['entries']}, {write_size(rows['size_bytes'])}",
        "longest unused": "-" if unused is None else f"{unused:.1f} days",
        "limits": f"{limits['size_gb']:g} GB, {limits['unused_days']:g} days unused",
    }
    if "removed" in rows:
        lines["removed"] = f"{rows['removed']}, {write_size(rows['removed_bytes'])}"
    for stage, held in rows["stages"].items():
        lines[f"  {stage}"] = f"{held['entries']}, {write_size(held['size_bytes'])}"
    width = max(map(len, lines))
    screen = Screen(stream)
    for name, text in lines.items():
        screen.line(f"{name:<{width}}  {text}")
