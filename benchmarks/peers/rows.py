"""The part of a row that follows from what was measured: what ships for each runtime, and of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.peers.shipping import Candidate, choose_shipped
from benchmarks.peers.table import RUNTIMES
from toolchain.agent.measure.latency import Measurement

# As in the gate on the metric: what is lost exactly to the limit is within it, whatever the last bit says.
_TOLERANCE = 1e-9


def fill_row(
    candidates: Sequence[Candidate],
    found: Mapping[str, Mapping[str, Any]],
    measurement: Measurement,
    *,
    drop_max: float,
) -> dict[str, Any]:
    """Return what the table has of each tool, and all of ours ("candidates").

    Args:
        candidates: ours, in the target's order, whether or not they run.
        found: by the names of candidates and of the other tools, what each loses and gains, or its error.
        measurement: of all that run.
        drop_max: what a candidate may lose.
    """
    running = [one for one in candidates if "error" not in found[one.name]]
    rejected = [one for one in running if found[one.name]["drop"] > drop_max + _TOLERANCE]
    row: dict[str, Any] = {"candidates": {one.name: found[one.name] for one in candidates}}
    for runtime in RUNTIMES:
        own = [one for one in running if one.runtime == runtime]
        shipped = choose_shipped(own, measurement, rejected=rejected)
        row[f"ours_{runtime}"] = {"error": "none keeps the gate"}
        if shipped is not None:
            row[f"ours_{runtime}"] = {"precision": shipped.precision, **found[shipped.name]}
    row |= {tool: found[tool] for tool in found.keys() - row["candidates"].keys()}
    best = choose_shipped(running, measurement, rejected=rejected)
    row["ships"] = None if best is None else {"precision": best.precision, "runtime": best.runtime}
    if best is not None and "error" not in found["nncf"]:
        ratio = measurement.compare("nncf", best.name)
        row["ships"] |= {"over_nncf": [ratio.ratio, ratio.low, ratio.high]}
    return row
