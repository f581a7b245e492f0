"""Compares two models on the same real data: output by output, and tensor by tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import onnx

from toolchain.agent.measure.gates.parity import DEFAULT_SQNR_DB_MIN
from toolchain.agent.measure.parity import Parity
from toolchain.deploy.transport import OnProgress
from toolchain.graph.file import read_onnx
from toolchain.graph.inner_tensors import find_common_tensors, open_with_inner
from toolchain.graph.view import read_names
from toolchain.lower.fp16_emulation import emulate_float16
from toolchain.measure.payload import Data, choose_feeds, open_payload
from toolchain.run.screen import Screen

# Enough to rank tensors by their error; a verdict takes the whole evaluation set.
_SAMPLES = 64
# In characters: wider than a terminal may be, for a name that is cut is of no use.
_WIDTH = 200


def compare_models(
    a: Path,
    b: Path,
    *,
    data: Data | None,
    layers: bool,
    on_progress: OnProgress,
    sqnr_db_min: float = DEFAULT_SQNR_DB_MIN["int8"],
) -> list[dict[str, Any]]:
    """Return the distance of B's outputs from A's; with `layers`, first that of every inner tensor that both have.

    Tensors come in A's order. `leaves` marks those where B leaves A: under sqnr_db_min, although all that they are made
    from is not; `a` and `b` say which payloads they are. Float16 is emulated as a GPU rounds it.

    Raises ToolchainError as opening the payloads does, and exit 2 without data, exit 18 where the outputs have other names,
    dtypes or shapes.
    """
    first = open_payload(a, data=data, threads=1, samples=_SAMPLES)
    second = open_payload(b, data=data, threads=1, samples=_SAMPLES)
    feeds = choose_feeds([first, second])
    models = [emulate_float16(read_onnx(payload.path, trusted=True)) for payload in (first, second)]
    inner = find_common_tensors(models[0], models[1]) if layers else []
    sessions = [open_with_inner(model, inner) for model in models]
    parity = Parity()
    for done, feed in enumerate(feeds, start=1):
        reference, deployed = (session.run(feed) for session in sessions)
        parity.add(reference, deployed)
        on_progress("compare", done, len(feeds))
    names = {"a": first.describe(), "b": second.describe()}
    found = [{**asdict(row), "is_output": row.output not in inner, **names} for row in parity.summarize()]
    return _mark_layers(models[0], found, sqnr_db_min)


def judge_comparison(rows: Sequence[Mapping[str, Any]], sqnr_db_min: float) -> list[str]:
    """Return why B may not stand for A: its outputs that keep less than sqnr_db_min, which all are that hold other NaN."""
    return [
        f"{row['output']} keeps {row['sqnr_db']:.1f} dB, the gate is {sqnr_db_min:g} dB"
        for row in rows
        if row["is_output"] and not row["sqnr_db"] >= sqnr_db_min
    ]


def print_comparison(rows: Sequence[dict[str, Any]], *, stream: TextIO, failures: Sequence[str] | None = None) -> None:
    """Print the rows as a table, and below what the gate said, where it was asked."""
    screen = Screen(stream, width=_WIDTH)
    heads = ("tensor", "SQNR dB", "cosine", "max error", "p99 error", "non-finite")
    screen.plain_table(heads, [_write_row(row) for row in rows])
    for row in rows:
        if row.get("leaves"):
            place = f"{row['layer']} ({row['op']}), tensor {row['output']}"
            screen.line(f"B leaves A at {place}: {row['sqnr_db']:.1f} dB")
    for name in ("a", "b"):
        screen.line(f"{name.upper()} is {rows[0][name]}")
    if failures is not None:
        screen.line("FAIL  B is too far from A" if failures else "PASS  B stands for A")
        for failure in failures:
            screen.line(f"      {failure}")


def _write_row(row: Mapping[str, Any]) -> list[str]:
    return [
        row["output"],
        f"{row['sqnr_db']:.1f}",
        f"{row['cosine']:.6f}",
        f"{row['max_abs']:.3g}",
        f"{row['p99_abs']:.3g}",
        str(row["nonfinite"]),
    ]


def _mark_layers(model: onnx.ModelProto, rows: list[dict[str, Any]], sqnr_db_min: float) -> list[dict[str, Any]]:
    """Return the rows with the node that made each tensor, and whether B leaves A there."""
    sqnr_db = {row["output"]: row["sqnr_db"] for row in rows}
    reached: dict[str, float] = {}  # tensor -> its SQNR, or the least of what it is made from where it was not compared
    marks: dict[str, dict[str, Any]] = {}
    for node in model.graph.node:
        inputs_db = min((reached.get(name, math.inf) for name in read_names(node)), default=math.inf)
        for name in node.output:
            reached[name] = sqnr_db.get(name, inputs_db)
            leaves = reached[name] < sqnr_db_min <= inputs_db
            marks[name] = {"layer": node.name, "op": node.op_type, "leaves": leaves}
    return [{**row, **marks.get(row["output"], {"layer": "", "op": "", "leaves": False})} for row in rows]
