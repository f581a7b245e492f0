"""Renders the report as one HTML page that needs nothing else: no network, no other file, no script but its own."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from toolchain.agent.measure.quantities import (
    TIMES,
    write_count,
    write_ms,
    write_percent,
    write_speedup,
    write_sqnr,
    write_value,
)
from toolchain.agent.measure.scale import FRACTION_UNIT
from toolchain.report.end_to_end import describe_end_to_end
from toolchain.report.explain_page import explain_report, list_sources
from toolchain.report.layer_plots import fill_precision
from toolchain.report.quantities import (
    name_metric,
    write_bound,
    write_change,
    write_cosine,
    write_difference,
    write_duration,
    write_size,
    write_size_change,
)
from toolchain.report.shape import NO_REASON, LatencyNumbers, Metric, Report
from toolchain.report.templates import open_templates

if TYPE_CHECKING:
    from toolchain.report.sample_media import Media

TEMPLATE = "report.html.jinja"
# The precisions that have a colour of their own on the page.
_COLOURED = ("int8", "fp16", "float32")


@dataclass(frozen=True)
class Drawing:
    """An SVG element, what it shows in words, and what its axis leaves out."""

    svg: str
    description: str
    note: str


@dataclass(frozen=True)
class Figure:
    """A large number, what it is, and what it rests on."""

    value: str
    label: str
    detail: str


@dataclass(frozen=True)
class Bar:
    """Float against deployed for one quantity; the shares are of the longer bar, from 0 to 1."""

    label: str
    reference: str
    deployed: str
    reference_share: float
    deployed_share: float


@dataclass(frozen=True)
class Span:
    """A stage on the time axis of the run; offset and share are fractions of the whole."""

    name: str
    text: str
    offset: float
    share: float
    cached: bool


def render_html(
    report: Report,
    *,
    drawings: Sequence[Drawing],
    drawing_problem: str | None = None,
    media: Media = types.MappingProxyType({}),
    media_problem: str | None = None,
) -> str:
    """Return the page; the problems say on it why a drawing, or the worst samples' pictures, are missing."""
    page = explain_report(report, media=media, media_problem=media_problem)
    environment = open_templates()
    environment.filters.update(
        size=write_size,
        ms=write_ms,
        percent=write_percent,
        sqnr=write_sqnr,
        difference=write_difference,
        cosine=write_cosine,
        duration=write_duration,
        count=write_count,
        name_metric=name_metric,
        colour=lambda precision: precision if precision in _COLOURED else "other",
    )
    return environment.get_template(TEMPLATE).render(
        report=report,
        summary=summarize(report),
        figures=list_figures(report),
        bars=list_bars(report),
        latency_rows=list_latency(report),
        end_to_end=None if report["end_to_end"] is None else describe_end_to_end(report["end_to_end"]),
        sensor=flatten(report["input"] or {}),
        spans=list_spans(report),
        provenance=flatten(report["provenance"]),
        drawings=[(Markup(drawing.svg), drawing) for drawing in drawings],  # noqa: S704 - drawn by us, text escaped
        drawing_problem=drawing_problem,
        page=page,
        fill=fill_precision,
        script_sources=list_sources(page),
        no_reason=NO_REASON,
    )


def summarize(report: Report) -> str:
    """Return the verdict as one sentence."""
    if report["error"] is not None:
        return "The run stopped before there was anything to measure."
    if report["verdict"] == "invalid":
        return "The measurement on this device cannot be trusted: its numbers are shown, and prove nothing."
    parts = []
    latency, artifact, original, metric = (
        report["latency"],
        report["artifact"],
        report["original"],
        report["metric"],
    )
    if latency is not None and latency["speedup"] is not None and not report["emulated"]:
        parts.append(write_speedup(latency["speedup"], None, None))
    if artifact is not None and original is not None:
        parts.append(write_size_change(original["size_bytes"], artifact["size_bytes"]))
    if metric is not None:
        parts.append(f"{name_metric(metric)} {_write_metric_change(metric)}")
    against = f" Against the float model: {', '.join(parts)}." if parts else ""
    opening = "is proven" if report["verdict"] == "pass" else "did not reach its gates"
    return f"The artifact {opening} on this device.{against}"


def _write_metric_change(metric: Metric) -> str:
    return write_change(metric["deployed"] - metric["reference"], metric["unit"])


def list_figures(report: Report) -> list[Figure]:
    """Return the numbers that a reader asks for first."""
    figures = []
    metric, artifact, original, latency, placement = (
        report["metric"],
        report["artifact"],
        report["original"],
        report["latency"],
        report["placement"],
    )
    if latency is not None and latency["speedup"] is not None:
        interval = ""
        if latency["speedup_low"] is not None and latency["speedup_high"] is not None:
            interval = f"99 % interval {latency['speedup_low']:.2f} to {latency['speedup_high']:.2f}"
        label = "as fast as float"
        if report["emulated"]:
            label, interval = "as fast, emulated", "says nothing of a real board"
        figures.append(Figure(value=f"{latency['speedup']:.2f}{TIMES}", label=label, detail=interval))
    if metric is not None:
        before, after = (write_value(metric[key], metric["unit"]) for key in ("reference", "deployed"))
        value, _, unit = _write_metric_change(metric).partition(" ")
        figures.append(
            Figure(
                value=value,
                label=f"{unit} of {name_metric(metric)}".strip() if unit else name_metric(metric),
                detail=f"{before} to {after}, {write_count(metric['samples'], 'sample')}",
            )
        )
    if artifact is not None and original is not None:
        value, label = split_size_change(write_size_change(original["size_bytes"], artifact["size_bytes"]))
        sizes = f"{write_size(original['size_bytes'])} to {write_size(artifact['size_bytes'])}"
        figures.append(Figure(value=value, label=label, detail=sizes))
    if placement is not None and report["precision"] is not None:
        share = placement["precision_share_macs"].get(report["precision"], 0.0)
        figures.append(
            Figure(
                value=write_percent(share, 1),
                label=f"of the MACs in {report['precision']}",
                detail="read from the graph that runs",
            )
        )
    return figures


def split_size_change(change: str) -> tuple[str, str]:
    """Return a change of size as (large number, what it is)."""
    value, _, label = change.partition(" ")
    return (value, label) if value.endswith(TIMES) else (f"1.00{TIMES}", change)


def list_bars(report: Report) -> list[Bar]:
    """Return float against deployed for metric, size and latency."""
    bars = []
    metric, artifact, original, latency = (
        report["metric"],
        report["artifact"],
        report["original"],
        report["latency"],
    )
    if metric is not None:
        unit = metric["unit"]
        if unit == FRACTION_UNIT and metric["direction"] == "higher":
            bars.append(
                Bar(
                    label=name_metric(metric),
                    reference=write_value(metric["reference"], unit),
                    deployed=write_value(metric["deployed"], unit),
                    reference_share=metric["reference"],
                    deployed_share=metric["deployed"],
                )
            )
        elif min(metric["reference"], metric["deployed"]) >= 0:  # a bar starts at zero
            bars.append(
                _compare(
                    name_metric(metric), metric["reference"], metric["deployed"], lambda value: write_value(value, unit)
                )
            )
    if artifact is not None and original is not None:
        bars.append(_compare("size", original["size_bytes"], artifact["size_bytes"], write_size))
    if latency is not None:
        before, after = latency["reference"], latency["deployed"]
        if before["p50_ms"] is not None and after["p50_ms"] is not None:
            bars.append(_compare("latency, p50", before["p50_ms"], after["p50_ms"], write_ms))
        if before["p90_ms"] is not None and after["p90_ms"] is not None:
            bars.append(_compare("latency, p90", before["p90_ms"], after["p90_ms"], write_ms))
    return bars


def list_latency(report: Report) -> list[tuple[str, str, str]]:
    """Return the rows (name, reference, deployed) of the latency table."""
    latency = report["latency"]
    if latency is None:
        return []

    def write_row(numbers: LatencyNumbers) -> list[str]:
        return [
            write_bound(numbers["p50_ms"], numbers["p50_upper_ms"]),
            write_bound(numbers["p90_ms"], numbers["p90_upper_ms"]),
            write_bound(numbers["p99_ms"], numbers["p99_upper_ms"]),
            write_ms(numbers["mean_ms"]).removesuffix(" ms"),
            write_percent(numbers["cv"], 1),
            f"{numbers['samples']:,}",
            "yes" if numbers["steady"] else "no",
        ]

    names = ("p50, ms", "p90, ms", "p99, ms", "mean, ms", "spread (stdev / mean)", "runs", "steady")
    return list(zip(names, write_row(latency["reference"]), write_row(latency["deployed"]), strict=True))


def list_spans(report: Report) -> list[Span]:
    """Return the stages laid one after another on the time of the run."""
    total_s = sum(stage["duration_s"] for stage in report["stages"])
    spans = []
    offset_s = 0.0
    for stage in report["stages"]:
        spans.append(
            Span(
                name=stage["name"],
                text=write_duration(stage["duration_s"]),
                offset=offset_s / total_s if total_s else 0.0,
                share=stage["duration_s"] / total_s if total_s else 0.0,
                cached=stage["cached"],
            )
        )
        offset_s += stage["duration_s"]
    return spans


def flatten(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested mappings as (dotted key, text), in their order."""
    rows = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            rows += flatten(item, f"{prefix}{key}.")
        elif isinstance(item, (list, tuple)):
            rows.append((prefix + key, ", ".join(str(part) for part in item)))
        elif item is not None:
            rows.append((prefix + key, str(item)))
    return rows


def _compare(label: str, before: Any, after: Any, write: Any) -> Bar:
    longest = max(before, after) or 1
    return Bar(
        label=label,
        reference=write(before),
        deployed=write(after),
        reference_share=before / longest,
        deployed_share=after / longest,
    )
