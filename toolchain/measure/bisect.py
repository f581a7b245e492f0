"""Finds the fewest layers that must keep a higher precision: the search of the lowering, for its answer alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

from toolchain import stages
from toolchain.agent.measure.gates.parity import DEFAULT_SQNR_DB_MIN
from toolchain.errors import usage
from toolchain.project.recipe import Recipe
from toolchain.project.target import Target
from toolchain.run.cache import Cache, Entry, cache_root
from toolchain.run.progress import Progress
from toolchain.run.screen import Screen


def bisect_layers(recipe: Recipe, target: Target, *, sqnr_db_min: float | None, progress: Progress) -> dict[str, Any]:
    """Return the layers to keep, each with the reason, and the SQNR of every output with them kept.

    The target has one precision, and its runtime's lowering searches: for int8, layers go back to float; for fp16, to
    float32. Nothing is chosen by speed. Raises ToolchainError (exit 2) for float32, from which nothing goes back.
    """
    precision = target.precision[0]
    if precision == "float32":
        raise usage(
            "there is nothing to keep above float32",
            where="--precision",
            expected="int8 or fp16",
            found="float32",
            fix="give --precision int8, or the precision that lost too much",
        )
    gate_db = DEFAULT_SQNR_DB_MIN[precision] if sqnr_db_min is None else sqnr_db_min
    gates = recipe.gates.model_copy(update={"sqnr_db_min": {**recipe.gates.sqnr_db_min, precision: gate_db}})
    quantize = recipe.quantize.model_copy(update={"choose_by_measurement": False, "accuracy": "sqnr"})
    asked = recipe.model_copy(update={"gates": gates, "quantize": quantize}).at(recipe.path, name=recipe.name)
    run = stages.Run(recipe=asked, cache=Cache(cache_root()), progress=progress)
    entry = stages.run_stages(run, lambda run: stages.lower_alone(run, target), gives=Entry)
    lowering = json.loads((entry.folder / "lowering.json").read_text(encoding="utf-8"))
    # int8 also lists layers that no int8 kernel is for; float16 lists nothing but what was held back.
    held_back = lowering.get("held_back", [layer["name"] for layer in lowering["kept_in_float"]])
    return {
        "precision": precision,
        "sqnr_db_min": gate_db,
        "sqnr_db": lowering["sqnr_db"],
        "passed": all(value >= gate_db for value in lowering["sqnr_db"].values()),
        "keep": [layer for layer in lowering["kept_in_float"] if layer["name"] in held_back],
    }


def print_bisection(found: Mapping[str, Any], *, stream: TextIO) -> None:
    """Print the layers, and the outputs with them kept."""
    keep = found["keep"]
    count = "1 layer stays" if len(keep) == 1 else f"{len(keep)} layers stay"
    what = f"{count} above {found['precision']}" if keep else f"every layer can be {found['precision']}"
    screen = Screen(stream)
    screen.line(f"{what}; the gate is {found['sqnr_db_min']:g} dB")
    for layer in keep:
        screen.line(f"  {layer['name']} ({layer['op']}): {layer['reason']}")
    for output, sqnr_db in found["sqnr_db"].items():
        screen.line(f"output {output}: {sqnr_db:.1f} dB")
