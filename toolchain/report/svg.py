"""SVG drawings by matplotlib that take their colours and font from the page around them."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

# matplotlib needs a colour; the page replaces each by the CSS variable of this name, for light and dark.
COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "reference": "#040404",
    "deployed": "#050505",
}
# matplotlib types the keys as a closed list, which differs from version to version.
STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "text.usetex": False,
    "axes.grid": False,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.color": COLOURS["ink"],
    "axes.edgecolor": COLOURS["line"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.color": COLOURS["line"],
    "ytick.labelcolor": COLOURS["muted"],
}


def write_svg(figure: Figure, salt: str) -> str:
    """Return the figure as an svg element whose ids are its own and whose colours are the page's."""
    text = StringIO()
    with rc_context({"svg.hashsalt": salt}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{salt}-", svg)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
