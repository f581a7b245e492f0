"""Latency of several payloads, measured against each other in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from toolchain.agent.latency import measure_latency
from toolchain.agent.session import Session
from toolchain.measure.payload import Arrays, choose_feeds, open_payload


def bench_payloads(paths: Sequence[Path], *, data: Path | None, threads: int) -> list[dict[str, Any]]:
    """Return one row per payload: latency with upper bounds, and the speedup of the first over it.

    The same real sample is fed over and over, batch 1; "speedup" is the latency of the first payload over this
    one's, with its 99 % interval. Raises ToolchainError (exit 2) without data.
    """
    payloads = [open_payload(path, data=data, threads=threads, samples=1) for path in paths]
    feed = choose_feeds(payloads)[0]
    names = [f"{index}: {path}" for index, path in enumerate(paths)]
    runs = {name: _bind_run(payload.session, feed) for name, payload in zip(names, payloads, strict=True)}
    measurement = measure_latency(runs)
    return [
        {
            "payload": str(path),
            "threads": threads,
            "latency": asdict(measurement.summarize(name)),
            "speedup": None if name == names[0] else asdict(measurement.compare(names[0], name)),
        }
        for name, path in zip(names, paths, strict=True)
    ]


def print_bench(rows: Sequence[dict[str, Any]], *, stream: TextIO) -> None:
    """Print the rows as a table; a percentile with too few samples is a dash."""
    table = Table(box=None)
    for heading in ("payload", "p50 ms", "p90 ms", "p99 ms", "samples", "speedup"):
        table.add_column(heading, justify="left" if heading == "payload" else "right", overflow="fold")
    for row in rows:
        latency, speedup = row["latency"], row["speedup"]
        cells = [_show(latency[f"{name}_ms"], latency[f"{name}_upper_ms"]) for name in ("p50", "p90", "p99")]
        ratio = (
            "reference" if speedup is None else f"x{speedup['ratio']:.2f} ({speedup['low']:.2f}-{speedup['high']:.2f})"
        )
        table.add_row(row["payload"], *cells, str(latency["samples"]), ratio)
    Console(file=stream).print(table)


def _show(value_ms: float | None, upper_ms: float | None) -> str:
    return "-" if value_ms is None or upper_ms is None else f"{value_ms:.3f} (<= {upper_ms:.3f})"


def _bind_run(session: Session, feed: Arrays) -> Callable[[], object]:
    return lambda: session.run(feed)
