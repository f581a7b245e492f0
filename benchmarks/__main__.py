"""Runs every benchmark, one after the other, and keeps their lines in benchmarks/results/CPU/NAME.jsonl.

    python -m benchmarks [NAME ...]

CPU is this machine's: what int8 gains depends on it. A benchmark whose model or data is missing says how to get it, and
the others still run; the exit code is then 3.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from toolchain.agent.facts import read_cpu
from toolchain.lower.onnxruntime import VNNI

_NAMES = ("flow", "calibration", "lowering", "packing", "fusion", "wild", "board_overhead")
_RESULTS = Path(__file__).parent / "results"
_MISSING = 3


def main() -> int:
    """Run the named benchmarks, or all."""
    results = _RESULTS / _name_cpu()
    results.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in sys.argv[1:] or _NAMES:
        sys.stderr.write(f"benchmark {name}\n")
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], stdout=subprocess.PIPE, check=False)
        sys.stdout.buffer.write(done.stdout)
        if done.returncode:
            failed.append(name)
        else:
            (results / f"{name}.jsonl").write_bytes(done.stdout)
    for name in failed:
        sys.stderr.write(f"benchmark {name} did not finish; what it said stands above\n")
    return _MISSING if failed else 0


def _name_cpu() -> str:
    """Return a folder's name for this CPU; one that multiplies int8 in one instruction is another CPU than one that cannot."""
    _, cpu, features = read_cpu()
    vnni = " vnni" if VNNI & set(features) else ""
    return re.sub(r"[^a-z0-9]+", "-", (cpu + vnni).lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main())
