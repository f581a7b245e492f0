"""The page of a search: its Pareto front as a picture and a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from toolchain.agent.measure.quantities import TIMES, write_count, write_value
from toolchain.agent.measure.scale import FRACTION_UNIT
from toolchain.agent.printable import escape_line
from toolchain.report.quantities import write_change, write_size
from toolchain.report.svg import COLOURS, STYLE, write_svg
from toolchain.report.templates import open_templates

Record = Mapping[str, Any]

# In inches at 72 points each: half of a wide page's column, and no less than a phone shows legibly.
_SIZE_IN = (5.0, 3.8)
# So many points of a front can carry their number without lying on one another.
_NAMED_MAX = 12
# Axes that span less than this show their few values better without a logarithm.
_LOG_RATIO = 3.0


def render_page(*, model: str, target: str, records: Sequence[Record], front: Sequence[Record]) -> str:
    """Return one HTML page that needs nothing else: no script, no network, no other file.

    Args:
        model: The recipe's name.
        target: The target's name.
        records: Of all trials.
        front: Of those on the front, the best metric first; with the path of their recipe.
    """
    environment = open_templates(Path(__file__).parent)
    environment.filters.update(
        size=write_size, value=write_value, change=write_change, count=write_count, times=write_times
    )
    complete = [record for record in records if record["state"] == "complete" and "repeats" not in record]
    return environment.get_template("front.html.jinja").render(
        model=model,
        target=target,
        records=records,
        states={
            state: sum(record["state"] == state for record in records) for state in ("complete", "stopped", "failed")
        },
        front=[{**record, "text": describe_entries(record["entries"])} for record in front],
        errors=[record for record in records if record["state"] == "failed"],
        drawings=[Markup(svg) for svg in draw_fronts(complete, front)],  # noqa: S704 - drawn by us, text escaped
        timed=any(record["speedup"] is not None for record in complete),
    )


def write_times(ratio: float | None) -> str:
    """Return a ratio as text."""
    return "–" if ratio is None else f"{ratio:.2f}{TIMES}"


def describe_entries(entries: Sequence[Record]) -> str:
    """Return a trial's entries in a line: each method with its options."""
    texts = []
    for entry in entries:
        options = [f"{key} {_describe(value)}" for key, value in entry.items() if key not in ("method", "finetune")]
        if "finetune" in entry:
            options.append(write_count(entry["finetune"].get("epochs", 0), "epoch"))
        texts.append(f"{entry['method']} ({', '.join(options)})" if options else str(entry["method"]))
    return " → ".join(texts) or "nothing but the precision"


def draw_fronts(complete: Sequence[Record], front: Sequence[Record]) -> list[str]:
    """Return the SVG of the metric over the size, and over the speedup where there was one."""
    if not complete:
        return []
    drawings = [_draw(complete, front, label="size, KB", read=_read_kilobytes, salt="size")]
    if all(record["speedup"] is not None for record in complete):
        label = f"speedup over the float model, {TIMES}"
        drawings.append(
            _draw(complete, front, label=label, read=lambda record: float(record["speedup"]), salt="speedup")
        )
    return drawings


def _read_kilobytes(record: Record) -> float:
    return float(record["size_bytes"]) / 1000


def _draw(
    complete: Sequence[Record], front: Sequence[Record], *, label: str, read: Callable[[Record], float], salt: str
) -> str:
    numbers = {record["number"] for record in front}
    others = [record for record in complete if record["number"] not in numbers]
    with rc_context(STYLE):
        figure = Figure(figsize=_SIZE_IN, layout="constrained")
        axes = figure.subplots()
        _scatter(axes, others, read, colour="reference", size=26)
        _scatter(axes, front, read, colour="deployed", size=46)
        for record in front if len(front) <= _NAMED_MAX else ():
            axes.annotate(
                str(record["number"]),
                (read(record), _scale_metric(record["metric"], str(record["unit"]))),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize=9.5,
                color=COLOURS["ink"],
            )
        reference, unit = complete[0], str(complete[0]["unit"])
        axes.axhline(_scale_metric(reference["reference"], unit), color=COLOURS["muted"], linewidth=1, linestyle="--")
        values = [read(record) for record in complete]
        if max(values) > _LOG_RATIO * min(values):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} {_name_unit(unit)}".rstrip()))
        axes.grid(axis="both", color=COLOURS["line"], linewidth=0.6)
        axes.set_axisbelow(True)
        axes.margins(x=0.08, y=0.12)
        axes.set_xlabel(label)
        axes.set_ylabel("metric of the artifact")
        return write_svg(figure, salt=salt)


def _scale_metric(value: float, unit: str) -> float:
    return 100 * value if unit == FRACTION_UNIT else value


def _name_unit(unit: str) -> str:
    return "%" if unit == FRACTION_UNIT else escape_line(unit)  # matplotlib cannot draw every text


def _scatter(axes: Axes, records: Sequence[Record], read: Callable[[Record], float], *, colour: str, size: int) -> None:
    """Draw the trials that passed their gates as dots and the others as rings."""
    for passed in (True, False):
        part = [record for record in records if (record["verdict"] == "pass") is passed]
        axes.scatter(
            [read(record) for record in part],
            [_scale_metric(record["metric"], str(record["unit"])) for record in part],
            s=size,
            facecolors=COLOURS[colour] if passed else "none",
            edgecolors=COLOURS[colour],
            linewidths=1.4,
            zorder=3,
        )


def _describe(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return " ".join(_describe(item) for item in value)
    if isinstance(value, dict):
        return " ".join(f"{key} {_describe(item)}" for key, item in value.items())
    return str(value)
