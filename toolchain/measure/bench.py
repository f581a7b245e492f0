"""Latency of several payloads, measured against each other in one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from toolchain.agent.measure.latency import measure_latency
from toolchain.agent.measure.machine_speed import SPEED_MEMORY
from toolchain.agent.measure.session import Session
from toolchain.deploy.transport import OnProgress
from toolchain.graph.session import RUN
from toolchain.measure.payload import Arrays, Data, choose_feeds, describe_payload, open_payload
from toolchain.run.cache import cache_root
from toolchain.run.confine import inside
from toolchain.run.screen import Screen

# In characters: wider than a terminal may be, for a path that is cut is of no use.
_WIDTH = 200


def bench_payloads(
    paths: Sequence[Path], *, data: Data | None, threads: int | None, on_progress: OnProgress
) -> list[dict[str, Any]]:
    """Return one row per payload: latency with upper bounds, and the speedup of the first over it.

    The same real sample is fed over and over, batch 1; "speedup" is the latency of the first payload over this
    one's, with its 99 % interval. threads: None for those that a bundle's candidate ships with, and one of a file.

    Raises ToolchainError as opening the payloads does, and exit 2 without data.
    """
    payloads = [open_payload(path, data=data, threads=threads, samples=1) for path in paths]
    feed = choose_feeds(payloads)[0]
    for payload in payloads:
        with inside.step(RUN):  # timed runs are none: one that never ends is ended here, and not after minutes
            payload.session.run(feed)
    # Two of one path are two sessions: what such a pair differs by is what the measurement is worth.
    names = [f"{index}: {path}" for index, path in enumerate(paths)]
    measurement = measure_latency(
        {name: _bind_run(payload.session, feed) for name, payload in zip(names, payloads, strict=True)},
        on_progress=lambda done, total: on_progress("latency", done, total),
        memory=cache_root() / SPEED_MEMORY,
    )
    return [
        {
            "payload": str(payload.name),
            "candidate": payload.candidate,
            "is_shipped": payload.is_shipped,
            "threads": payload.threads,
            "pins_threads": payload.pins_threads,
            "latency": asdict(measurement.summarize(name)),
            "speedup": None if name == names[0] else asdict(measurement.compare(names[0], name)),
        }
        for name, payload in zip(names, payloads, strict=True)
    ]


def print_bench(rows: Sequence[dict[str, Any]], *, stream: TextIO) -> None:
    """Print the rows as a table; what too few samples cannot prove is a dash."""
    cells, notes = [], []
    for row in rows:
        if row["candidate"] is not None:
            notes.append(_describe_choice(row))
        latency = row["latency"]
        bounds = [_write_bound(latency[f"{name}_ms"], latency[f"{name}_upper_ms"]) for name in ("p50", "p90", "p99")]
        speedup = "reference" if row["speedup"] is None else _write_ratio(row["speedup"])
        if row["speedup"] is not None and row["speedup"]["note"] is not None:
            notes.append(f"{row['payload']}: {row['speedup']['note']}")
        cells.append([row["payload"], *bounds, str(latency["samples"]), speedup])
    screen = Screen(stream, width=_WIDTH)
    screen.plain_table(("payload", "p50 ms", "p90 ms", "p99 ms", "samples", "speedup"), cells)
    for note in notes:
        screen.line(note)


def _describe_choice(row: Mapping[str, Any]) -> str:
    what = describe_payload(row["payload"], row["candidate"], is_shipped=row["is_shipped"])
    pinned = "pinned " if row["pins_threads"] else ""
    return f"{what}; on {row['threads']} {pinned}thread{'' if row['threads'] == 1 else 's'}"


def _write_bound(value_ms: float | None, upper_ms: float | None) -> str:
    return "-" if value_ms is None or upper_ms is None else f"{value_ms:.4g} (≤ {upper_ms:.4g})"


def _write_ratio(speedup: Mapping[str, Any]) -> str:
    ratio, low, high = (speedup[name] for name in ("ratio", "low", "high"))
    if ratio is None:
        return "-"
    return f"×{ratio:.2f}" if low is None or high is None else f"×{ratio:.2f} ({low:.2f}–{high:.2f})"


def _bind_run(session: Session, feed: Arrays) -> Callable[[], object]:
    return lambda: session.run(feed)
