"""Runs rows of docs/results.md and writes the document anew.

    python -m benchmarks.compression [ROW ...] [--seed N] [--document]

Without a row: those that lack a result. --seed: this seed alone. --document: run nothing. An interrupted training goes on
where it stopped. The exit code is 3 where the float model has no weights yet, and otherwise 0: what a row's own exit code
was stands in its result.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.compression.document import write_document
from benchmarks.compression.rows import ROWS
from benchmarks.compression.run import find_recipe, find_result, run_row

_MISSING = 3


def main() -> int:
    """Run the rows that were asked for."""
    parser = argparse.ArgumentParser(description="Measure compression, row by row.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--seed", type=int)
    parser.add_argument("--document", action="store_true")
    arguments = parser.parse_args()
    names = {row.name for row in ROWS}
    if unknown := set(arguments.rows) - names:
        parser.error(f"no row is called {', '.join(sorted(unknown))}")
    weights = find_recipe(ROWS[0]).parents[2] / "models" / "resnet18" / "half_stem.safetensors"
    if not arguments.document and not weights.is_file():
        sys.stderr.write(f"{weights} is missing: make train MODEL=models/resnet18/half_stem.toml\n")
        return _MISSING
    for row in () if arguments.document else ROWS:
        for seed in row.seeds:
            asked = row.name in arguments.rows if arguments.rows else not find_result(row, seed).is_file()
            if asked and arguments.seed in (None, seed):
                sys.stderr.write(f"{row.name}, seed {seed}\n")
                sys.stderr.write(f"{row.name}, seed {seed}: exit code {run_row(row, seed)}\n")
                write_document()
    sys.stdout.write(f"{write_document()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
