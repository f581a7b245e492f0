"""The plots of classes and of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolchain.agent.measure.quantities import write_digits, write_value
from toolchain.agent.measure.scale import FRACTION_UNIT
from toolchain.report.explanation_shape import ClassMetric, TensorRange
from toolchain.report.plot_frame import ROWS_MAX, STEP, Plot, Spec, frame_plot, list_rows, name_rows

# Where one tensor is so much wider than half of them, the others would be dots on a linear axis.
_WIDE = 20.0


def name_class(score: ClassMetric) -> str:
    """Return the class's name, or its number."""
    return score["name"] or f"class {score['number']}"


def plot_classes(classes: Sequence[ClassMetric], *, metric: str, unit: str) -> Plot | None:
    """Return float against deployed of each class: two marks and the line between them; None where there is no choice."""
    if len(classes) < 2:
        return None
    chosen = sorted(classes, key=lambda score: -abs(score["deployed"] - score["reference"]))[:ROWS_MAX]
    chosen.sort(key=lambda score: score["number"])
    factor = 100.0 if unit == FRACTION_UNIT else 1.0
    rows = [
        {
            "layer": name,
            "before": factor * score["reference"],
            "after": factor * score["deployed"],
            "text": f"{write_value(score['reference'], unit)} → {write_value(score['deployed'], unit)}",
        }
        for name, score in zip(name_rows([name_class(score) for score in chosen]), chosen, strict=True)
    ]
    # "zero": False lets a difference of a tenth of a point be seen; the note says so.
    scale = {"zero": False, "nice": True, "padding": 8}
    title = f"{metric} of each class" + (", %" if unit == FRACTION_UNIT else f", {unit}" if unit else "")
    x: Spec = {"type": "quantitative", "scale": scale, "title": title, "axis": {"grid": True, "tickCount": 5}}
    tooltip = [{"field": "layer", "title": "class"}, {"field": "text", "title": "float → artifact"}]
    ring = {"type": "point", "shape": "circle", "size": 90, "opacity": 1, "stroke": "var(--ink)", "strokeWidth": 1.5}
    diamond = {
        "type": "point",
        "shape": "diamond",
        "size": 60,
        "opacity": 1,
        "fill": "var(--deployed)",
        "stroke": "var(--deployed)",
    }
    spec = frame_plot(STEP * len(rows)) | {
        "data": {"values": rows},
        "layer": [
            _encode(
                {"type": "rule", "stroke": "var(--muted)"}, {"x": {**x, "field": "before"}, "x2": {"field": "after"}}
            ),
            _encode(ring, {"x": {**x, "field": "before"}, "tooltip": tooltip}),
            _encode(diamond, {"x": {**x, "field": "after"}, "tooltip": tooltip}),
        ],
    }
    lowest = min(classes, key=lambda score: score["deployed"])
    several = (
        "" if len(classes) == len(chosen) else f" The {len(chosen)} of {len(classes)} classes that changed the most."
    )
    return Plot(
        key="plot-classes",
        title="Does a class pay for the others?",
        description=f"The metric of each class, of the float model and of the artifact; the lowest is {name_class(lowest)} with "
        f"{write_value(lowest['deployed'], unit)}.",
        spec=spec,
        note=f"Rings are the float model, diamonds the artifact. The axis does not start at zero.{several}",
    )


def plot_ranges(ranges: Sequence[TensorRange]) -> Plot | None:
    """Return the range of each tensor that the integers stand for; None where nothing is quantized."""
    if not ranges:
        return None
    widest = sorted(range(len(ranges)), key=lambda index: ranges[index]["low"] - ranges[index]["high"])[:ROWS_MAX]
    shown = [ranges[index] for index in sorted(widest)]
    rows = [
        {
            "layer": name,
            "low": found["low"],
            "high": found["high"],
            "text": f"{write_digits(found['low'])} to {write_digits(found['high'])}",
        }
        for name, found in zip(name_rows([found["tensor"] for found in shown]), shown, strict=True)
    ]
    reaches = sorted(max(abs(found["low"]), abs(found["high"])) for found in shown)
    usual = reaches[len(reaches) // 2]
    is_wide = reaches[-1] > _WIDE * usual > 0
    scale: dict[str, Any] = {"type": "symlog", "constant": usual} if is_wide else {"type": "linear"}
    x: Spec = {
        "type": "quantitative",
        "scale": scale,
        "title": "value",
        "axis": {"grid": True, "tickCount": 5, "format": ".4~r"},
    }
    tooltip = [{"field": "layer", "title": "tensor"}, {"field": "text", "title": "range"}]
    bar = {"type": "bar", "height": 8, "cornerRadius": 4, "fill": "var(--deployed)"}
    zero = {"mark": {"type": "rule", "stroke": "var(--ink)"}, "encoding": {"x": {"datum": 0}}}
    spec = frame_plot(STEP * len(rows)) | {
        "data": {"values": rows},
        "layer": [_encode(bar, {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "tooltip": tooltip}), zero],
    }
    several = "" if len(rows) == len(ranges) else f" The {len(rows)} widest of {len(ranges)}."
    return Plot(
        key="plot-ranges",
        title="What do the integers stand for?",
        description="The range of each quantized tensor, from calibration.",
        spec=spec,
        note="The steps of an integer are spread over its bar: where it is long for the sake of a few values, the others lose."
        + (" The axis is logarithmic away from zero." if is_wide else "")
        + several,
    )


def _encode(mark: Spec, encoding: Spec) -> Spec:
    return {"mark": mark, "encoding": {"y": list_rows(), **encoding}}
