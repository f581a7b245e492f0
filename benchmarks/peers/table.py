"""The table of docs/tasks.md: ours on both runtimes and the other quantizers, a row a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolchain.agent.measure.quantities import write_difference, write_value

RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
_TOOLS = {
    **{f"ours_{runtime}": f"ours, {name}" for runtime, name in RUNTIMES.items()},
    "quantize_static": "quantize_static",
    "nncf": "NNCF, OpenVINO",
}
_HEAD = (
    *("model", "metric", "float", "float, OpenVINO: speed"),
    *(f"{tool}: {what}" for tool in _TOOLS.values() for what in ("drop", "speed")),
    "ships",
)


def order_rows(rows: Iterable[Mapping[str, Any]], models: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the last row of each model, in the order of these models, others behind them."""
    last = {row["model"]: row for row in rows}
    return [last[model] for model in dict.fromkeys([*models, *last]) if model in last]


def write_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the table; a tool that a row does not have is a dash."""
    lines = ["| " + " | ".join(_HEAD) + " |", "| " + " | ".join("---" for _ in _HEAD) + " |"]
    return "\n".join([*lines, *map(_write_row, rows)]) + "\n"


def _write_row(row: Mapping[str, Any]) -> str:
    cells = [f"`{row['model']}`", f"`{row['metric']}`", write_value(row["float"], row["unit"])]
    cells.append(_write_speed(row.get("candidates", {}).get("float32 openvino", {})))
    for tool in _TOOLS:
        cells += _write_cells(row.get(tool, {}), row["unit"])
    cells.append(_write_shipped(row.get("ships")))
    return "| " + " | ".join(cells) + " |"


def _write_cells(found: Mapping[str, Any], unit: Any) -> tuple[str, str]:
    if "error" in found:
        return ("does not run", "–")
    if not found:
        return ("–", "–")
    precision = found.get("precision", "int8")
    drop = write_difference(found["drop"], unit) + ("" if precision == "int8" else f" ({precision})")
    return (drop, _write_speed(found))


def _write_speed(found: Mapping[str, Any]) -> str:
    if "speedup" not in found:
        return "–"
    low, high = found["speedup_99"]
    return f"{found['speedup']:.2f}× ({low:.2f} to {high:.2f})"


def _write_shipped(ships: Mapping[str, str] | None) -> str:
    return "–" if ships is None else f"{ships['precision']}, {RUNTIMES[ships['runtime']]}"
