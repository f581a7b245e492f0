"""Writes docs/results.md from the results that there are; a row without one says that it is not measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.compression.rows import ROWS, Row
from benchmarks.compression.run import find_result

_DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "results.md"

_HEAD = """\
# What compression gains, measured

Written by `python -m benchmarks.compression` from the report.json of each run; change nothing by hand. Each row is
`toolchain deploy benchmarks/compression/ROW.toml --target cpu --precision P`, on the 10,000 test pictures of Fashion-MNIST.
What it is measured against is the float ResNet-18 of `models/resnet18/half_stem.toml` in ONNX Runtime, one thread, in the
same run; for the two ResNet-8 rows it is the ResNet-8 of `models/resnet8`. Where a training is involved, a row is the mean
of its seeds, with the least and the largest in parentheses, and the command runs all of them. A drop is in points of top-1.

Before the first row: `make train MODEL=models/resnet18/half_stem.toml`.
"""

# In points, the mean over the seeds.
_STUDENT_GOAL = 0.4

_COLUMNS = ("row", "what", "top-1", "drop", "smaller", "faster", "goal", "reached", "seeds", "exit", "command")


def write_document() -> Path:
    """Write the document and return its path."""
    results = {row.name: read_results(row) for row in ROWS}
    lines = [_HEAD, f"| {' | '.join(_COLUMNS)} |", f"|{' --- |' * len(_COLUMNS)}"]
    lines += [f"| {' | '.join(_write_row(row, results[row.name], results['float']))} |" for row in ROWS]
    lines += ["", *_compare_students(results), "", *_compare_grids(results), "", _describe_device(results)]
    _DOCUMENT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return _DOCUMENT


def read_results(row: Row) -> list[dict[str, Any]]:
    """Return what the runs of a row left, in the order of the seeds."""
    paths = [find_result(row, seed) for seed in row.seeds]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def _write_row(row: Row, results: Sequence[dict[str, Any]], floats: Sequence[dict[str, Any]]) -> list[str]:
    command = f"`python -m benchmarks.compression {row.name}`"
    measured = [result for result in results if result["metric"] is not None and result["size_bytes"] is not None]
    if not measured:
        problem = "not measured" if not results else f"stopped: {'; '.join(results[0]['reasons'])}"
        codes = ", ".join(str(result["exit_code"]) for result in results)
        return [row.name, row.what, problem, "", "", "", _write_goals(row), "", "", codes, command]
    goals, reached = row.goals, []
    drops = [result["metric"]["drop"] for result in measured]
    sizes = [result["reference_size_bytes"] / result["size_bytes"] for result in measured]
    speeds = [result["latency"]["speedup"] for result in measured if result["latency"] and result["latency"]["speedup"]]
    if goals.drop_max is not None:
        reached.append(mean(drops) <= goals.drop_max)
    if goals.size_min is not None:
        reached.append(mean(sizes) >= goals.size_min)
    if goals.speedup_min is not None:
        reached.append(bool(speeds) and mean(speeds) >= goals.speedup_min)
    if goals.macs_max is not None:
        macs = [result["macs"] / floats[0]["macs"] for result in measured] if floats else []
        reached.append(bool(macs) and mean(macs) <= goals.macs_max)
    if goals.channels_min is not None:
        reached.append(mean(_share_removed(result) for result in measured) >= goals.channels_min)
    if goals.blocks_min is not None:
        reached.append(min(_count_removed(result) for result in measured) >= goals.blocks_min)
    return [
        row.name,
        row.what,
        _write_range([result["metric"]["deployed"] for result in measured], lambda value: f"{100 * value:.2f} %"),
        _write_range(drops, lambda value: f"{100 * value:.2f}"),
        _write_range(sizes, lambda value: f"{value:.1f}×"),
        _write_range(speeds, lambda value: f"{value:.2f}×") if speeds else "not measured",
        _write_goals(row),
        _write_reached(reached, complete=len(measured) == len(row.seeds)),
        f"{len(measured)} of {len(row.seeds)}",
        ", ".join(str(result["exit_code"]) for result in results),
        command,
    ]


def _write_reached(reached: Sequence[bool], *, complete: bool) -> str:
    if not reached:
        return ""
    return ("yes" if all(reached) else "no") + ("" if complete else ", so far")


def _write_goals(row: Row) -> str:
    goals = row.goals
    parts = [
        (goals.drop_max, lambda value: f"drop ≤ {100 * value:g}"),
        (goals.size_min, lambda value: f"{value:g}× smaller"),
        (goals.speedup_min, lambda value: f"{value:g}× faster"),
        (goals.macs_max, lambda value: f"≤ {100 * value:g} % of the MACs"),
        (goals.channels_min, lambda value: f"≥ {100 * value:g} % of the channels gone"),
        (goals.blocks_min, lambda value: f"≥ {value} block gone"),
    ]
    return ", ".join(write(value) for value, write in parts if value is not None)


def _write_range(values: Sequence[float], write: Callable[[float], str]) -> str:
    middle = write(mean(values))
    return middle if len(values) == 1 else f"{middle} ({write(min(values))} to {write(max(values))})"


def _share_removed(result: dict[str, Any]) -> float:
    before, after = result["reference_convolution_channels"], result["convolution_channels"]
    return 0.0 if before is None or after is None else 1 - sum(after) / sum(before)


def _count_removed(result: dict[str, Any]) -> int:
    """Return how many blocks of two convolutions are gone; the convolution of a shortcut stays with its block."""
    before, after = result["reference_convolution_channels"], result["convolution_channels"]
    return 0 if before is None or after is None else (len(before) - len(after)) // 2


def _compare_students(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    alone = {result["seed"]: result for result in results["student_alone"] if result["metric"]}
    taught = {result["seed"]: result for result in results["student_taught"] if result["metric"]}
    seeds = sorted(alone.keys() & taught.keys())
    if not seeds:
        return ["The student with its teacher against the same student alone: not measured."]
    gains = [100 * (taught[seed]["metric"]["deployed"] - alone[seed]["metric"]["deployed"]) for seed in seeds]
    text = _write_range(gains, lambda value: f"{value:+.2f}")
    reached = "reached" if mean(gains) >= _STUDENT_GOAL else "missed"
    compared = f"{text} points, seeds {', '.join(map(str, seeds))} (goal +{_STUDENT_GOAL}: {reached})"
    return [
        f"The student with its teacher against the same student alone, seed by seed: {compared}.",
        "Both begin with the same weights and see the same batches.",
    ]


def _compare_grids(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Say whether mixed precision beats the uniform rows in size or accuracy without losing in the other."""
    lines = []
    for name in ("int8", "linear_8bit"):
        pair = [results[key][0] if results[key] else None for key in ("mixed_precision", name)]
        if any(item is None or item["metric"] is None for item in pair):
            lines.append(f"Mixed precision against {name}: not measured.")
            continue
        (mixed_top1, mixed_size), (top1, size) = [
            (item["metric"]["deployed"], item["size_bytes"]) for item in pair if item
        ]
        better = mixed_top1 >= top1 and mixed_size <= size and (mixed_top1, mixed_size) != (top1, size)
        lines.append(
            f"Mixed precision against {name}: {100 * (mixed_top1 - top1):+.2f} points, {mixed_size / size:.2f} of its size: "
            f"{'better in one and not worse in the other' if better else 'not better without losing something'}."
        )
    return lines


def _describe_device(results: dict[str, list[dict[str, Any]]]) -> str:
    devices = {
        f"{item['device']['cpu']}, {item['device']['runtime']} {item['device']['runtime_version']}"
        for items in results.values()
        for item in items
        if item["device"]["cpu"]
    }
    return f"Measured on: {'; '.join(sorted(devices))}." if devices else "Nothing was measured yet."
