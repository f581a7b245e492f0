"""What lowering to int8 takes: seconds, CPU seconds and memory, and what it leaves in float.

    python -m benchmarks.lowering_time [--calibration N] [--folder FOLDER] [MODEL ...]

One JSON line per model, each lowered by a process of its own on all cores: seconds from the ONNX file to the int8 model
(optimizing included), CPU seconds of all its threads, the peak of its memory; layers that could be int8, the names of
those in float, the file's size, and the least SQNR over the outputs on 32 samples that calibration did not see. CPU seconds hold on a busy
machine; seconds want an idle one. The models are those of benchmarks/wild_models.py (350 MB). --folder keeps what was downloaded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.wild_models import NAMES, fetch, list_feeds
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.footprint.memory import read_peak_bytes
from toolchain.agent.measure.parity import Parity
from toolchain.graph.file import read_onnx
from toolchain.graph.session import open_as_board
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.int8 import lower_int8
from toolchain.lower.runtimes.onnxruntime import int8_policy
from toolchain.optimize import optimize
from toolchain.project.recipe import QuantizeSection

_EVALUATED = 32
_GATE_DB = 20.0


def lower(path: Path, samples: int) -> dict[str, Any]:
    """Return the row of a model, measured in this process."""
    calibration = list_feeds(path, 0, samples)
    model = read_onnx(path, trusted=True)
    facts = read_facts("onnxruntime")
    policy = int8_policy(choose_scheme(facts.arch, frozenset(facts.cpu_features), "auto"))
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    optimized = optimize(model, calibration[:4]).model
    lowering = lower_int8(
        optimized,
        calibration,
        options=QuantizeSection(),
        policy=policy,
        sqnr_db_min=_GATE_DB,
        threads=1,
        start_steps=lambda _name, _total: lambda: None,
    )
    seconds, cpu_seconds = time.monotonic() - start_s, time.process_time() - start_cpu_s
    peak_bytes, problem = read_peak_bytes()
    if peak_bytes is None:
        raise OSError(problem)
    parity, before, after = Parity(), open_as_board(model, threads=1), open_as_board(lowering.model, threads=1)
    for feed in list_feeds(path, samples, samples + _EVALUATED):
        parity.add(before.run(feed), after.run(feed))
    layers = policy.plan(optimized, frozenset()).weighted_layers
    kept = [layer for layer in layers if layer not in lowering.plan.weighted_layers]
    return {
        "model": path.stem,
        "calibration": samples,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "peak_mb": peak_bytes // 2**20,
        "layers": len(layers),
        "in_float": kept,
        "size_mb": round(lowering.model.ByteSize() / 1e6, 1),
        "sqnr_db": round(min(row.sqnr_db for row in parity.summarize()), 1),
        "sqnr_seen_db": round(min(lowering.sqnr_db.values()), 1),
        "speed": lowering.speed.status,
    }


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure what lowering to int8 takes.")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(NAMES))
    parser.add_argument("--calibration", type=int, default=256, metavar="N", help="samples that calibrate")
    parser.add_argument("--folder", type=Path, help="where models are kept")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.file is not None:
        sys.stdout.write(json.dumps(lower(options.file, options.calibration)) + "\n")
        return
    if unknown := set(options.models) - set(NAMES):
        parser.error(f"no model is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for name in options.models or NAMES:
            command = [sys.executable, "-m", "benchmarks.lowering_time", "--file", str(fetch(name, folder))]
            subprocess.run([*command, "--calibration", str(options.calibration)], check=True)


if __name__ == "__main__":
    _main()
