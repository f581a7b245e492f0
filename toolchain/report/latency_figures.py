"""Draws the latency samples as SVG that takes its colours and font from the page around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from toolchain.agent.measure.quantities import write_count, write_digits, write_ms
from toolchain.report.html import Drawing
from toolchain.report.shape import LatencyNumbers, Report
from toolchain.report.svg import COLOURS, STYLE, write_svg

# In inches at 72 points each: half of a wide page's column, and no less than a phone shows legibly.
_SIZE_IN = (5.0, 3.8)
_BINS = 80
# Medians further apart than this leave the narrower distribution a few bins on a linear axis.
_LOG_RATIO = 6.0
# Beyond this multiple of the largest p99 lie interrupts, not the model: they would squeeze the rest.
_CLIP_RATIO = 1.25
_BLOCKS = 50


@dataclass(frozen=True)
class Series:
    """The latency samples of one artifact, in the order of measurement, and what was computed from them."""

    label: str
    colour: str
    samples_ms: NDArray[np.float64]
    numbers: LatencyNumbers


def draw_latency(report: Report, samples: Mapping[str, Sequence[float]]) -> list[Drawing]:
    """Return the drawings of the latency samples, by "reference" and precision in ms; none where one is missing.

    Raises:
        ValueError: a sample is not positive and finite.
    """
    latency, precision = report["latency"], report["precision"]
    if latency is None or precision is None or not samples.get("reference") or not samples.get(precision):
        return []
    series = [
        _make_series(
            label="float reference",
            colour="reference",
            samples_ms=samples["reference"],
            numbers=latency["reference"],
        ),
        _make_series(
            label=f"{precision} artifact",
            colour="deployed",
            samples_ms=samples[precision],
            numbers=latency["deployed"],
        ),
    ]
    return [draw_distributions(series), draw_course(series)]


def _make_series(*, label: str, colour: str, samples_ms: Sequence[float], numbers: LatencyNumbers) -> Series:
    samples = np.asarray(samples_ms, dtype=np.float64)
    if not (np.isfinite(samples) & (samples > 0)).all():
        raise ValueError(f"the latency samples of the {label} are not positive and finite")
    return Series(label=label, colour=colour, samples_ms=samples, numbers=numbers)


def draw_distributions(series: Sequence[Series]) -> Drawing:
    """Return one histogram a series, above one another on a shared axis, with p50, p90 and p99 marked."""
    everything = np.concatenate([item.samples_ms for item in series])
    medians = [float(np.median(item.samples_ms)) for item in series]
    log = max(medians) / min(medians) > _LOG_RATIO
    low = float(everything.min()) * 0.97
    high = min(float(everything.max()), max(float(np.quantile(item.samples_ms, 0.99)) for item in series) * _CLIP_RATIO)
    high = max(high, low * 1.05)
    bins = np.geomspace(low, high, _BINS + 1) if log else np.linspace(low, high, _BINS + 1)
    with rc_context(STYLE):
        figure = Figure(figsize=_SIZE_IN, layout="constrained")
        rows = figure.subplots(len(series), 1, sharex=True, squeeze=False)[:, 0]
        for axes, item in zip(rows, series, strict=True):
            _draw_histogram(axes, item, bins)
        if log:
            rows[-1].set_xscale("log")
            rows[-1].xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            rows[-1].xaxis.set_minor_locator(NullLocator())
        rows[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        rows[-1].set_xlim(low, high)
        rows[-1].set_xlabel("latency, ms" + (" (log scale)" if log else ""))
        svg = write_svg(figure, salt="distributions")
    beyond = int((everything > high).sum())
    notes = ["The axis is logarithmic." if log else ""]
    if beyond:
        slowest = write_ms(float(everything.max()))
        notes.append(f"{write_count(beyond, 'run')} beyond {write_ms(high)} not drawn; the slowest took {slowest}.")
    return Drawing(svg=svg, description=_describe(series), note=" ".join(note for note in notes if note))


def draw_course(series: Sequence[Series]) -> Drawing:
    """Return the median and the span from p10 to p90 of consecutive runs of two series: drift, throttling."""
    with rc_context(STYLE):
        figure = Figure(figsize=_SIZE_IN, layout="constrained")
        axes = figure.subplots()
        top = 0.0
        # The line styles tell the two apart where they lie on one another, or colours cannot be seen.
        sides: tuple[Literal["left", "right"], ...] = ("left", "right")
        for item, side, style in zip(series, sides, ("--", "-"), strict=True):
            blocks = np.array_split(item.samples_ms, min(_BLOCKS, len(item.samples_ms)))
            middle = np.cumsum([len(block) for block in blocks]) - np.array([len(block) / 2 for block in blocks])
            low, median, high = np.array([np.quantile(block, (0.1, 0.5, 0.9)) for block in blocks]).T
            axes.fill_between(middle, low, high, color=COLOURS[item.colour], alpha=0.22, linewidth=0)
            axes.plot(middle, median, color=COLOURS[item.colour], linewidth=1.8, linestyle=style)
            axes.set_title(item.label, loc=side, fontsize=11.5, color=COLOURS[item.colour], weight="bold")
            top = max(top, float(high.max()))
        axes.set_ylim(0, top * 1.1)
        axes.margins(x=0.01)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", color=COLOURS["line"], linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("run, in the order of measurement")
        axes.set_ylabel("latency, ms")
        svg = write_svg(figure, salt="course")
    description = f"Latency over the course of the measurement: {' and '.join(item.label for item in series)}."
    block = max(1, round(len(series[0].samples_ms) / _BLOCKS))
    return Drawing(
        svg=svg,
        description=description,
        note=f"Line (dashed: float reference): median of {write_count(block, 'run')}; band: their p10 to p90. A level course is a steady one.",
    )


def _draw_histogram(axes: Axes, item: Series, bins: NDArray[np.float64]) -> None:
    colour = COLOURS[item.colour]
    share = np.full(len(item.samples_ms), 100 / len(item.samples_ms))
    counts, _, _ = axes.hist(item.samples_ms, bins=list(bins), weights=share, color=colour, alpha=0.85)
    top = float(np.max(counts)) or 1.0
    axes.set_ylim(0, top * 1.78)
    axes.set_yticks(
        [tick for tick in MaxNLocator(3).tick_values(0, top) if tick <= top]
    )  # above are the marks, and no share
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_title(item.label, loc="left", fontsize=11.5, color=colour, weight="bold")
    marks = [("p50", item.numbers["p50_ms"]), ("p90", item.numbers["p90_ms"]), ("p99", item.numbers["p99_ms"])]
    marks_text = " · ".join(f"{name} {write_digits(value)}" for name, value in marks if value is not None)
    axes.set_title(marks_text, loc="right", fontsize=10, color=COLOURS["muted"])
    # Each mark is lower than the one before, so that its label has room beside the narrowest distribution.
    for (name, value), height in zip(marks, (1.74, 1.44, 1.14), strict=True):
        if value is not None and bins[0] <= value <= bins[-1]:
            axes.plot([value, value], [0, top * height], color=COLOURS["ink"], linewidth=1)
            axes.annotate(
                name,
                (value, top * height),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=9.5,
                color=COLOURS["ink"],
                va="top",
            )


def _describe(series: Sequence[Series]) -> str:
    parts = [
        f"{item.label}: {write_count(len(item.samples_ms), 'run')}, p50 {write_ms(item.numbers['p50_ms'])}, "
        f"p90 {write_ms(item.numbers['p90_ms'])}, p99 {write_ms(item.numbers['p99_ms'])}"
        for item in series
    ]
    return f"Latency distributions. {'; '.join(parts)}."
