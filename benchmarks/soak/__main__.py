"""Runs the soak, or a part of it, and keeps what was measured in benchmarks/results/CPU/soak_PART.jsonl.

    python -m benchmarks.soak [deploys] [calibration] [large]

CPU is this machine's. A file has a line for each thing that was measured, and last one about all of them. The exit code is 1 where something grew, or took more than it may.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.__main__ import RESULTS, name_cpu
from benchmarks.soak import calibration, deploys, large

_PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "deploys": deploys.measure,
    "calibration": calibration.measure,
    "large": large.measure,
}


def write_lines(document: Mapping[str, Any], path: Path) -> None:
    """Write the rows of a part, and then the rest of what it says."""
    rest = {key: value for key, value in document.items() if key != "rows"}
    path.write_text("".join(json.dumps(row) + "\n" for row in (*document["rows"], rest)), encoding="utf-8")


def main() -> int:
    """Run the named parts, or all."""
    parser = argparse.ArgumentParser("python -m benchmarks.soak", description="Measure what is long and what is large.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(_PARTS))
    parts = parser.parse_args().parts or list(_PARTS)
    if unknown := [part for part in parts if part not in _PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(_PARTS)}")
    results = RESULTS / name_cpu()
    results.mkdir(parents=True, exist_ok=True)
    problems = []
    for part in parts:
        document = _PARTS[part]()
        write_lines(document, results / f"soak_{part}.jsonl")
        problems += [f"{part}: {problem}" for problem in document["problems"]]
    sys.stdout.write("\n".join(problems or ["nothing grew, and nothing took more than it may"]) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
