"""What each model leaves of its device under a runtime.

    python -m benchmarks.roofline [--runtime openvino] [--page] dist/*/*/report.json

Of deploys before it (`toolchain deploy MODEL --target TARGET`): what a run takes, and which share of that all layers which have a
roof would take at the peaks; the same of their own times under the profiler; what of that run lies in no kernel, and the
three layers with the most to gain (docs/verdict.md). --page writes the table into docs/lowering.md, OpenVINO's into
docs/openvino.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tasks import replace_table
from toolchain.agent.measure.quantities import ABSENT, write_digits, write_percent
from toolchain.report.explanation_shape import Gain, LayerCosts, MachinePeaks
from toolchain.report.layer_words import describe_roof, name_layer, write_us
from toolchain.report.read import read_report
from toolchain.report.shape import Report

_DOCS = Path(__file__).parents[1] / "docs"
_PAGES = {"onnxruntime": _DOCS / "lowering.md", "openvino": _DOCS / "openvino.md"}
_BEGIN, _END = "<!-- table: python -m benchmarks.roofline -->\n", "<!-- end of the roofline -->\n"
_COLUMNS = (
    "model",
    "a run",
    "of the peak",
    "with the profiler",
    "of the peak",
    "in no kernel",
    "most to gain",
    "second",
    "third",
)


def write_row(model: str, costs: LayerCosts, *, plain_us: float | None) -> str:
    """Return the row of one model; plain_us is a run without the profiler."""
    bound = [layer for layer in costs["layers"] if layer["roof_us"] is not None]
    roof_us, time_us = (sum(layer[key] or 0.0 for layer in bound) for key in ("roof_us", "time_us"))
    share = write_percent(roof_us / time_us, 0) if time_us > 0 else ABSENT
    rest = write_percent(costs["rest_us"] / costs["run_us"], 0) if costs["run_us"] > 0 else ABSENT
    gains = [_write_gain(gain, costs) for gain in costs["most_to_gain"]]
    plain = [ABSENT, ABSENT]
    if plain_us is not None:
        plain = [write_us(plain_us), write_percent(roof_us / plain_us, 0) if bound and plain_us > 0 else ABSENT]
    cells = [model, *plain, write_us(costs["run_us"]), share, rest, *gains, *[ABSENT] * len(_COLUMNS)][: len(_COLUMNS)]
    return f"| {' | '.join(cells)} |"


def _write_gain(gain: Gain, costs: LayerCosts) -> str:
    bound = [layer for layer in costs["layers"] if layer["roof_us"] is not None]
    named = [layer for layer in bound if gain["name"] in {name_layer(layer), layer["module"], layer["name"]}]
    layer = min(named or bound, key=lambda one: abs(one["time_us"] - (one["roof_us"] or 0.0) - gain["gain_us"]))
    return f"{name_layer(layer)}: {write_us(gain['gain_us'])} of {write_us(layer['time_us'])} ({describe_roof(layer)})"


def write_table(reports: Sequence[Report], *, runtime: str) -> str:
    """Return the rows of those reports whose device ran this runtime, and what peaks they are held against."""
    rows, peaks, silent = [], [], []
    for report in reports:
        if report["device"] is None or report["device"]["runtime"] != runtime:
            continue
        found = report["explanation"]["layers"] if "explanation" in report else None
        if found is None or not found["layers"]:
            why = "an emulated device, or a report of before" if found is None else found["problem"]
            silent.append(f"{report['model']}: no times ({why})")
            continue
        p50_ms = None if report["latency"] is None else report["latency"]["deployed"]["p50_ms"]
        name = (
            report["model"] if report["precision"] in (None, "int8") else f"{report['model']} ({report['precision']})"
        )
        rows.append(write_row(name, found, plain_us=None if p50_ms is None else 1000 * p50_ms))
        peaks += [] if found["peaks"] is None else [found["peaks"]]
    head = [f"| {' | '.join(_COLUMNS)} |", "| --- " * len(_COLUMNS) + "|"] if rows else []
    told = [f"\nPeaks under {runtime}: {_describe_peaks(peaks)}."] if rows else [f"no report of {runtime} with times"]
    return "\n".join([*head, *rows, *told, *silent])


def _describe_peaks(peaks: Sequence[MachinePeaks]) -> str:
    if not peaks:
        return "none measured"
    units = (("int8_gmacs", "GMAC/s in int8"), ("float_gmacs", "GMAC/s in float"), ("memory_gb_s", "GB/s"))
    return ", ".join(
        f"{write_digits(min(one[key] for one in peaks))} to {write_digits(max(one[key] for one in peaks))} {unit}"
        for key, unit in units
    )


def replace_roofline(table: str, *, runtime: str) -> tuple[Path, str]:
    """Return the page of a runtime, and its text with another table."""
    page = _PAGES[runtime]
    return page, replace_table(page.read_text(encoding="utf-8"), table, begin=_BEGIN, end=_END)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", type=Path, metavar="REPORT.json")
    parser.add_argument(
        "--runtime", choices=_PAGES, default="onnxruntime", help="of the target; onnxruntime without it"
    )
    parser.add_argument("--page", action="store_true", help="write the table into the runtime's page")
    given = parser.parse_args()
    table = write_table([read_report(path) for path in given.reports], runtime=given.runtime) + "\n"
    if not given.page:
        sys.stdout.write(table)
        return
    page, text = replace_roofline(table, runtime=given.runtime)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
