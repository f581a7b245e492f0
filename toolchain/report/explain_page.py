"""The part of the page that explains: plots, their tables and the worst samples, as the template shows them."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from toolchain.agent.measure.quantities import ABSENT, write_digits, write_percent, write_value
from toolchain.report.data_plots import name_class, plot_classes, plot_ranges
from toolchain.report.explanation_shape import Explanation, LayerCost, LayerCosts, SampleAnswer
from toolchain.report.layer_plots import list_layer_plots
from toolchain.report.layer_words import NO_MACS, describe_precision, describe_roof, name_kernel, name_layer, write_us
from toolchain.report.plot_frame import Plot, name_rows
from toolchain.report.shape import Report
from toolchain.report.templates import Own, write_json_script

if TYPE_CHECKING:  # it needs numpy, without which a page must still say that numpy is missing
    from toolchain.report.sample_media import Media, SampleMedia

_FOLDER = Path(__file__).parent
_LIBRARY = _FOLDER / "plot_library.js.gz"
_DRAW = _FOLDER / "draw_plots.js"
_SURE_DB = 200.0
_NAMED_MAX = 8
_EMPTY = "an empty text"


@dataclass(frozen=True)
class Script:
    """A script of ours and its hash, by which alone the page lets it run (Content Security Policy, section 8.2)."""

    text: Own
    source: str


@dataclass(frozen=True)
class ShownPlot:
    """A plot and its specification as JSON that no text of others can leave."""

    plot: Plot
    spec: Markup


@dataclass(frozen=True)
class LayerRow:
    """A row of the table of layers; `told` is said when it is picked."""

    key: str
    name: str
    label: str
    """As plots call it."""
    node: str
    op: str
    precision: str
    time: str
    share: str
    macs: str
    speed: str
    roof: str
    sqnr: str
    told: str


@dataclass(frozen=True)
class Box:
    """A box on a picture, in shares of it."""

    left: float
    top: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class ShownSample:
    """A worst sample with both answers."""

    index: int
    note: str
    differs: bool
    media: SampleMedia | None
    uri: Own
    """Of the medium; base64 of ours, which is longer than texts of others may be."""
    answers: tuple[tuple[str, str], ...]
    """Who says what, in words; of labels too. None where answers are masks or tensors, of which the distance is told."""
    pictures: tuple[tuple[str, tuple[Box, ...]], ...]
    """The picture with the boxes of each answer; without boxes it is shown once."""

    @property
    def has_boxes(self) -> bool:
        """Whether any answer has a box."""
        return any(boxes for _, boxes in self.pictures)


@dataclass(frozen=True)
class ExplainPage:
    """What the template shows; empty where the report explains nothing."""

    scripts: tuple[Script, ...]
    layers: tuple[ShownPlot, ...]
    rows: tuple[LayerRow, ...]
    precisions: tuple[str, ...]
    """Of the rows, as a legend tells them."""
    gains: tuple[str, ...]
    untimed: tuple[str, ...]
    problem: str | None
    peaks_problem: str | None
    classes: ShownPlot | None
    class_rows: tuple[tuple[str, str, str], ...]
    samples: tuple[ShownSample, ...]
    media_problem: str | None
    ranges: ShownPlot | None
    range_rows: tuple[tuple[str, str, str, str], ...]


_NOTHING = Explanation(layers=None, by_class=[], worst_samples=[], ranges=[])


def explain_report(report: Report, *, media: Media, media_problem: str | None = None) -> ExplainPage:
    """Return what the page explains; a report of before explains nothing."""
    found, metric = report.get("explanation", _NOTHING), report["metric"]
    unit = "" if metric is None else metric["unit"]
    costs = found["layers"]
    layers = tuple(map(_show, list_layer_plots(costs, plain_us=_find_plain_us(report))))
    classes = plot_classes(found["by_class"], metric="" if metric is None else metric["name"], unit=unit)
    ranges = plot_ranges(found["ranges"])
    is_drawn = bool(layers or classes or ranges)
    return ExplainPage(
        scripts=(load_script(_LIBRARY), load_script(_DRAW)) if is_drawn else (),
        layers=layers,
        rows=() if costs is None else _list_rows(costs),
        precisions=()
        if costs is None
        else tuple(sorted({describe_precision(cost) for cost in costs["layers"]}, key=_order)),
        gains=()
        if costs is None
        else tuple(f"{gain['name']}: {write_us(gain['gain_us'])}" for gain in costs["most_to_gain"]),
        untimed=() if costs is None or costs["problem"] else _cut_names(costs.get("untimed", [])),
        problem=None if costs is None else costs["problem"],
        peaks_problem=None if costs is None else costs.get("peaks_problem"),
        classes=None if classes is None else _show(classes),
        class_rows=tuple(
            (name_class(score), write_value(score["reference"], unit), write_value(score["deployed"], unit))
            for score in found["by_class"]
        ),
        samples=tuple(_list_samples(found, media)),
        media_problem=media_problem,
        ranges=None if ranges is None else _show(ranges),
        range_rows=tuple(
            (one["tensor"], write_digits(one["low"]), write_digits(one["high"]), one["source"] or ABSENT)
            for one in found["ranges"]
        ),
    )


@functools.cache
def load_script(path: Path) -> Script:
    """Return a script that lies beside this module, compressed or not."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode("ascii")
    return Script(text=Own(data.decode("ascii")), source=f"'sha256-{digest}'")


def _show(plot: Plot) -> ShownPlot:
    return ShownPlot(plot=plot, spec=write_json_script(plot.spec))


def _find_plain_us(report: Report) -> float | None:
    """Return the latency of the artifact as it was judged, of the batch that its layers were timed at."""
    p50_ms = None if report["latency"] is None else report["latency"]["deployed"]["p50_ms"]
    return None if p50_ms is None else 1000 * p50_ms


def _order(precision: str) -> tuple[bool, str]:
    return precision == NO_MACS, precision


def _cut_names(names: list[str]) -> tuple[str, ...]:
    more = len(names) - _NAMED_MAX
    return (*names[:_NAMED_MAX], f"{more} more") if more > 0 else tuple(names)


def _list_rows(costs: LayerCosts) -> tuple[LayerRow, ...]:
    names = name_rows([name_layer(cost) for cost in costs["layers"]])
    labels = name_rows([name_kernel(cost) for cost in costs["layers"]])
    rows = zip(names, labels, costs["layers"], strict=True)
    return tuple(_write_row(str(number), name, label, cost) for number, (name, label, cost) in enumerate(rows))


def _write_row(key: str, name: str, label: str, cost: LayerCost) -> LayerRow:
    macs = ABSENT if cost["macs"] is None else f"{cost['macs']:,}"
    speed = ABSENT if cost["gmacs"] is None else write_digits(cost["gmacs"])
    sqnr_db = cost["sqnr_db"]
    left = ABSENT if sqnr_db is None else "exact" if sqnr_db >= _SURE_DB else f"{sqnr_db:.1f}"
    time, share = write_us(cost["time_us"]), write_percent(cost["run_share"], 1)
    told = f"{name} ({cost['op']}, {describe_precision(cost)}): {time}, {share} of the run"
    told += "" if cost["roof_share"] is None else f"; of this device's peak {describe_roof(cost)}"
    return LayerRow(
        key=key,
        name=name,
        label=label,
        node=cost["name"],
        op=cost["op"],
        precision=describe_precision(cost),
        time=time,
        share=share,
        macs=macs,
        speed=speed,
        roof=describe_roof(cost),
        sqnr=left,
        told=told if sqnr_db is None or sqnr_db >= _SURE_DB else f"{told}; SQNR {sqnr_db:.1f} dB",
    )


def _list_samples(found: Explanation, media: Mapping[int, SampleMedia]) -> list[ShownSample]:
    shown = []
    for sample in found["worst_samples"]:
        picture = media.get(sample["index"])
        pictures = tuple(
            (who, _place_boxes(answer, picture))
            for who, answer in (("float", sample["reference"]), ("artifact", sample["deployed"]))
        )
        words = [("float", describe_answer(sample["reference"])), ("artifact", describe_answer(sample["deployed"]))]
        words += [("label", sample["label"] or _EMPTY)] if sample["label"] is not None else []
        shown.append(
            ShownSample(
                index=sample["index"],
                note=f"{sample['sqnr_db']:.1f} dB",
                differs=sample["differs"],
                media=picture,
                uri=Own("" if picture is None else picture.uri),
                answers=tuple(words) if any(text for _, text in words) else (),
                pictures=pictures if any(boxes for _, boxes in pictures) else pictures[:1],
            )
        )
    return shown


def describe_answer(answer: SampleAnswer) -> str:
    """Return an answer in words, a text as it is."""
    if answer.get("text") is not None:
        return answer["text"] or _EMPTY
    scores = ["no number" if score is None else write_digits(score) for score in answer["scores"]]
    if answer["classes"]:
        return ", ".join(f"{name} {score}" for name, score in zip(answer["classes"], scores, strict=False))
    if answer["values"]:
        return ", ".join("no number" if value is None else write_digits(value) for value in answer["values"])
    return ""


def _place_boxes(answer: SampleAnswer, media: SampleMedia | None) -> tuple[Box, ...]:
    if media is None or media.kind != "picture" or not media.width or not media.height:
        return ()
    boxes = []
    for name, corners in zip(answer["classes"], answer["boxes"], strict=False):
        numbers = [corner for corner in corners if corner is not None]
        if len(numbers) != 4:
            continue
        left, right = (min(max(numbers[place] / media.width, 0.0), 1.0) for place in (0, 2))
        top, bottom = (min(max(numbers[place] / media.height, 0.0), 1.0) for place in (1, 3))
        boxes.append(Box(left=left, top=top, width=max(0.0, right - left), height=max(0.0, bottom - top), label=name))
    return tuple(boxes)


def list_sources(page: ExplainPage) -> str:
    """Return what the Content Security Policy says of scripts: those of ours, or none."""
    return " ".join(script.source for script in page.scripts) or "'none'"
