"""Makes plot_library.js.gz of what vl-convert-python carries: `python -m toolchain.report.make_plot_library`.

The package is for this alone. It is 88 MB, and takes seconds to put Vega, Vega-Lite and Vega-Embed together, which no deploy
should wait for and no user should install; what comes out is the same text every time (tests/report/test_make_plot_library.py).
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

LIBRARY = Path(__file__).parent / "plot_library.js.gz"
_EXPORTS = "window.plotLibrary = { embed: vegaEmbed };"


def make_library() -> bytes:
    """Return the compressed script, which sets window.plotLibrary and is printable ASCII, which no page's encoding changes."""
    import vl_convert

    script = str(vl_convert.javascript_bundle(_EXPORTS))
    ascii_script = re.sub(r"[^\n\x20-\x7e]", _escape, script)
    return gzip.compress(ascii_script.encode("ascii"), mtime=0)


def _escape(match: re.Match[str]) -> str:
    # All of it stands in string and regular-expression literals, where JavaScript reads UTF-16.
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))


if __name__ == "__main__":
    LIBRARY.write_bytes(make_library())
