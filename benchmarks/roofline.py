"""What each model leaves of its device: `python -m benchmarks.roofline dist/*/cpu/report.json`, of deploys before it.

The share of the roofline over all layers that multiply, what of a run lies in no kernel, and the three layers with the most to
gain (docs/lowering.md, docs/verdict.md).
"""

from __future__ import annotations

import sys
from pathlib import Path

from toolchain.agent.measure.quantities import write_percent
from toolchain.report.explanation_shape import Gain, LayerCosts
from toolchain.report.layer_words import describe_roof, name_layer, write_us
from toolchain.report.read import read_report


def write_row(model: str, costs: LayerCosts) -> str:
    """Return the row of one model."""
    bound = [layer for layer in costs["layers"] if layer["roof_us"] is not None]
    roof_us = sum(layer["roof_us"] or 0.0 for layer in bound)
    share = roof_us / max(sum(layer["time_us"] for layer in bound), 1e-9)
    rest = costs["rest_us"] / max(costs["run_us"], 1e-9)
    gains = [_write_gain(gain, costs) for gain in costs["most_to_gain"]]
    return f"| {model} | {write_percent(share, 0)} | {write_percent(rest, 0)} | {' | '.join(gains)} |"


def _write_gain(gain: Gain, costs: LayerCosts) -> str:
    layer = next(one for one in costs["layers"] if gain["name"] in {name_layer(one), one["module"]} and one["roof_us"])
    return f"{name_layer(layer)}: {write_us(gain['gain_us'])} of {write_us(layer['time_us'])} ({describe_roof(layer)})"


if __name__ == "__main__":
    sys.stdout.write("| model | of the peak | in no kernel | most to gain | second | third |\n" + "| --- " * 6 + "|\n")
    for argument in sys.argv[1:]:
        report = read_report(Path(argument))
        found = report["explanation"]["layers"] if "explanation" in report else None
        if found is not None:
            sys.stdout.write(write_row(report["model"], found) + "\n")
