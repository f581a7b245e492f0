"""What all plots share: Vega-Lite specifications are data and encodings, no code, and one idea each.

Colours are variables of the page's style, so that dark mode and print need no second drawing. What is told by colour is told by
a pattern or in words too. No text of others stands in an expression of Vega's: names are values of the data alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]

ROWS_MAX = 40
"""Rows of a plot that a reader still compares; the tables below have all."""
STEP = 21
"""Pixels from row to row: text of 12 pixels, as the page's small print."""
_FONT = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
# What is written behind a bar needs room: some pixels a character. The longest bar has the rest, and no less than this share.
_CHARACTER, _SHARE_MIN = 6.5, 0.35


@dataclass(frozen=True)
class Plot:
    """A plot: its id on the page, what it asks, what it shows in words, and what its drawing leaves out."""

    key: str
    title: str
    description: str
    spec: Spec
    note: str


def frame_plot(height: int) -> Spec:
    """Return a specification as wide as the page gives room, and so many pixels high."""
    return {
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": "transparent",
        # The page tells in words what a plot shows, and has its numbers in a table; a thousand labelled marks tell less.
        "config": {
            "aria": False,
            "font": _FONT,
            "view": {"stroke": "transparent"},
            "axis": {
                "labelColor": "var(--ink)",
                "titleColor": "var(--muted)",
                "titleFontWeight": "normal",
                "labelFontSize": 12,
                "titleFontSize": 12,
                "gridColor": "var(--line)",
                "domainColor": "var(--line)",
                "tickColor": "var(--line)",
            },
            "legend": {"labelColor": "var(--ink)", "labelFontSize": 12},
        },
    }


def name_rows(names: Sequence[str]) -> list[str]:
    """Return the names, those that come again with a number: rows of an axis must differ."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return unique


def list_rows() -> Spec:
    """Return the vertical axis of rows that have a name each, `layer`, in the order of the data."""
    axis = {"labelLimit": 170, "ticks": False, "domain": False, "labelPadding": 6}
    return {"field": "layer", "type": "nominal", "sort": None, "title": None, "axis": axis}


def draw_bars(rows: Sequence[Spec], *, field: str, axis: str, domain_max: float | None = None) -> Spec:
    """Return bars from zero with `text` behind each; the one whose `key` is picked is marked in every plot."""
    y = list_rows()
    most = domain_max or max(float(row[field]) for row in rows) or 1.0
    room = round(_CHARACTER * max(len(str(row["text"])) for row in rows)) + 8
    end = {"expr": f"max({_SHARE_MIN} * width, width - {room})"}  # a phone is narrower than a page
    scale = {"domain": [0, most], "range": [0, end], "nice": False}
    x = {"field": field, "type": "quantitative", "title": axis, "scale": scale, "axis": {"grid": True, "tickCount": 4}}
    text = {"type": "text", "align": "left", "dx": 5, "fontSize": 12}
    picked = {"test": "datum.key === picked", "value": "var(--picked)"}
    tooltip = [{"field": "layer"}, {"field": "precision"}, {"field": "text", "title": axis}]
    return frame_plot(STEP * len(rows)) | {
        "data": {"values": list(rows)},
        "params": [{"name": "picked", "value": ""}],
        "layer": [
            {
                "mark": {"type": "bar", "height": {"band": 0.72}, "cursor": "pointer", "cornerRadiusEnd": 2},
                "encoding": {
                    "y": y,
                    "x": x,
                    "fill": {"condition": picked, "field": "fill", "type": "nominal", "scale": None},
                    "tooltip": tooltip,
                },
            },
            # Behind the text a rim in the colour of the page: it may cross a line.
            *(
                {"mark": {**text, **drawn}, "encoding": {"y": y, "x": x, "text": {"field": "text"}}}
                for drawn in (
                    {"stroke": "var(--card)", "strokeWidth": 4, "strokeJoin": "round"},
                    {"fill": "var(--ink)"},
                )
            ),
        ],
    }
