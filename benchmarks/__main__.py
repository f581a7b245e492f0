"""Runs every benchmark, one after the other, and keeps their lines in benchmarks/results/NAME.jsonl.

    python -m benchmarks [NAME ...]

A benchmark whose model or data is missing says how to get it, and the others still run; the exit code is then 3.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_NAMES = ("flow", "calibration", "lowering", "packing", "fusion", "wild", "board_overhead")
_RESULTS = Path(__file__).parent / "results"
_MISSING = 3


def main() -> int:
    """Run the named benchmarks, or all."""
    _RESULTS.mkdir(exist_ok=True)
    failed = []
    for name in sys.argv[1:] or _NAMES:
        sys.stderr.write(f"benchmark {name}\n")
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, check=False)
        sys.stdout.buffer.write(done.stdout)
        if done.returncode:
            failed.append(name)
        else:
            (_RESULTS / f"{name}.jsonl").write_bytes(done.stdout)
    for name in failed:
        sys.stderr.write(f"benchmark {name} did not finish; what it said stands above\n")
    return _MISSING if failed else 0


if __name__ == "__main__":
    sys.exit(main())
