"""Runs every benchmark, one after the other, and keeps their lines in benchmarks/results/CPU/NAME.jsonl.

    python -m benchmarks [NAME ...]

CPU is this machine's: what int8 gains depends on it. A benchmark whose model or data is missing says how to get it, and
the others still run; the exit code is then 3.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from toolchain.agent.measure.facts import read_cpu
from toolchain.lower.cpu_scheme import VNNI

_NAMES = (
    *("flow", "calibration", "lowering", "packing", "fusion", "wild", "board_overhead", "harness", "tasks"),
    *("models_of_others", "transformers", "lowering_time", "input_folding", "kernels", "block_weights"),
)
RESULTS = Path(__file__).parent / "results"
_MISSING = 3


def main() -> int:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="Run benchmarks and keep their lines.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_NAMES))
    names = parser.parse_args().names or _NAMES
    if unknown := [name for name in names if not Path(__file__).with_name(f"{name}.py").is_file()]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(_NAMES)}")
    results = RESULTS / name_cpu()
    results.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in names:
        sys.stderr.write(f"benchmark {name}\n")
        partial = results / f"{name}.partial.jsonl"
        if _run(name, partial):
            partial.replace(results / f"{name}.jsonl")
        else:
            failed.append(partial)
    for partial in failed:
        sys.stderr.write(f"did not finish; the lines up to there are in {partial}\n")
    return _MISSING if failed else 0


def _run(name: str, lines: Path) -> bool:
    """Run a benchmark, show its lines and write them to a file as they come; return whether it finished."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    with lines.open("wb") as file, subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for line in process.stdout or ():
            for stream in (file, sys.stdout.buffer):
                stream.write(line)
                stream.flush()
    return process.returncode == 0


def name_cpu() -> str:
    """Return a folder's name for this CPU; one that multiplies int8 in one instruction is another CPU than one that cannot."""
    _, cpu, features = read_cpu()
    vnni = " vnni" if VNNI & set(features) else ""
    return re.sub(r"[^a-z0-9]+", "-", (cpu + vnni).lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main())
