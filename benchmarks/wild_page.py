"""The page of the models that nobody prepared, docs/wild.md: a row a model, and what all of them come to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.table import order_rows
from benchmarks.tasks import replace_table
from benchmarks.wild_models import NAMES

GATE_DB = 20.0
_PAGE = Path(__file__).parents[1] / "docs/wild.md"
_BEGIN, _END = "<!-- table: python -m benchmarks.wild -->\n", "<!-- end of the table -->\n"
_OURS = ("ours", "ours_openvino")
# Two sessions of one file differ by as much.
_LUCK = 0.01
_INT8_SHARE_MIN = 0.8
_TOOLS = {
    "quantize_static": "quantize_static",
    "quantize_dynamic": "quantize_dynamic",
    "nncf": "NNCF, OpenVINO",
    "quark": "AMD Quark",
    "ours": "ours, ONNX Runtime",
    "ours_openvino": "ours, OpenVINO",
}


def write_page(lines: Path) -> None:
    """Write the rows into the page: of several of one model the last, in the order in which they are fetched."""
    rows = order_rows(map(json.loads, lines.read_text(encoding="utf-8").splitlines()), NAMES)
    table = write_table(rows) + "\n" + "\n".join(write_summary(rows)) + "\n"
    _PAGE.write_text(replace_table(_PAGE.read_text(encoding="utf-8"), table, begin=_BEGIN, end=_END), encoding="utf-8")


def write_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the table of docs/wild.md: accuracy and speed of each tool, and what of ours is in int8."""
    head = ("model", *_TOOLS.values())
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *map(_write_row, rows)]) + "\n"


def _write_row(row: Mapping[str, Any]) -> str:
    return "| " + " | ".join([f"`{row['model']}`", *(_write_cell(row.get(tool)) for tool in _TOOLS)]) + " |"


def _write_cell(found: Mapping[str, Any] | None) -> str:
    if found is None or "error" in found:
        return "does not run" if found else "–"
    ratio, low, high = found["speed"]
    cell = f"{found['sqnr_db']:.1f} dB, {ratio:.2f}× ({low:.2f} to {high:.2f})"
    shares = [f"{100 * share:.0f} % {precision}" for precision, share in found.get("shares", {}).items()]
    return ", ".join([cell, *shares, *([found["recipe"]] if "recipe" in found else [])])


def write_summary(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what ours comes to on all models, the faster of both runtimes where both keep the gate, and where it is behind."""
    kept = {row["model"]: (row, tool) for row in rows if (tool := _choose_ours(row)) is not None}
    speeds = [row[tool]["speed"][0] for row, tool in kept.values()]
    shares = [row[tool]["shares"].get("int8", 0.0) for row, tool in kept.values()]
    lines = [
        f"Ours on the faster of both runtimes that keeps {GATE_DB:.0f} dB on every output: {len(kept)} of {len(rows)} models keep it, "
        f"{sum(speed >= 1.0 - _LUCK for speed in speeds)} of these are not slower than float, and "
        f"{sum(share > _INT8_SHARE_MIN for share in shares)} have more than {_INT8_SHARE_MIN:.0%} of their "
        "multiply-accumulates in int8".replace("%", " %")
        + (f"; the median speed is {median(speeds):.2f}×." if speeds else "."),
    ]
    lost = [f"`{row['model']}`" for row in rows if row["model"] not in kept]
    behind = [text for row, tool in kept.values() for text in _list_ahead(row, tool)]
    lines += [f"Does not keep it: {', '.join(lost)}."] if lost else []
    lines += [f"Behind a tool that keeps it too, beyond the interval: {'; '.join(behind) or 'none'}."]
    return lines


def _choose_ours(row: Mapping[str, Any]) -> str | None:
    able = [tool for tool in _OURS if row.get(tool, {}).get("sqnr_db", -1.0) >= GATE_DB]
    return max(able, key=lambda tool: float(row[tool]["speed"][0]), default=None)


def _list_ahead(row: Mapping[str, Any], ours: str) -> Iterator[str]:
    """Yield each other tool that keeps the gate and is surely faster than ours."""
    for tool, name in _TOOLS.items():
        found = row.get(tool, {})
        if tool in _OURS or found.get("sqnr_db", -1.0) < GATE_DB:
            continue
        ratio, low, high = found[f"{ours}_over"]
        if high < 1.0:
            yield f"`{row['model']}`, {name}: ours at {ratio:.2f}× its speed ({low:.2f} to {high:.2f})"
