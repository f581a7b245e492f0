"""What it costs to run a foreign model confined: a cold deploy of one ONNX file, beside the same in one process.

    python -m benchmarks.confined [--pairs N]

The two are run in turns, N times (5) each, as whole processes with a cache of their own, of a small convolutional net
with 256 pictures. Prints a JSON line for each way, with every run's wall and CPU seconds and exit code, and one for the
pairs: the median of what confined takes over in-process, and the least and the most. The verdict's own measurement takes
as long as it needs, so that the time up to the bundle is told as well.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_PAIRS = 5
_WAYS = ("in one process", "confined")
_CHANNELS = (3, 16, 32, 32, 64, 64)
_TO_BUNDLE = ("import", "evidence", "optimize", "golden", "lower-int8", "lower-float32", "bundle")


def write_model(folder: Path) -> None:
    """Write net.onnx and data.npz, of real shapes and drawn values."""
    draw = np.random.default_rng(0)
    nodes, weights, last = [], [], "input"
    for index, (given, made) in enumerate(itertools.pairwise(_CHANNELS)):
        weight = draw.standard_normal((made, given, 3, 3)) / np.sqrt(9 * given)
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{index}"))
        nodes.append(
            helper.make_node("Conv", [last, f"w{index}"], [f"c{index}"], pads=[1] * 4, strides=[1 + index % 2] * 2)
        )
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"]))
        last = f"r{index}"
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["output"]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", _CHANNELS[-1], 1, 1])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "net.onnx")
    np.savez(folder / "data.npz", input=draw.standard_normal((256, 3, 32, 32)).astype(np.float32))


def deploy(way: str, folder: Path) -> dict[str, Any]:
    """Return what a cold deploy took in a process of its own."""
    with tempfile.TemporaryDirectory() as work:
        out = Path(work) / "out"
        command = [sys.executable, "-m", "benchmarks.confined", "--way", way, str(folder), str(out)]
        environment = {**os.environ, "TOOLCHAIN_CACHE": str(Path(work) / "cache")}
        before, started_s = os.times(), time.perf_counter()
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        wall_s, after = time.perf_counter() - started_s, os.times()
        events = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    stages_s = sum(event["duration_s"] for event in events if event["event"] == "end" and event["stage"] in _TO_BUNDLE)
    # Before the first stage, and between them: imports, the fork, and all that is read to know that nothing is cached.
    verify_s = sum(event["duration_s"] for event in events if event["event"] == "end" and event["stage"] == "verify")
    return {
        "wall_s": round(wall_s, 3),
        "without_verify_s": round(wall_s - verify_s, 3),
        "stages_s": round(stages_s, 3),
        "cpu_s": round(cpu_s, 3),
        "exit_code": done.returncode,
    }


def _run_one(way: str, folder: Path, out: Path) -> None:
    """Run the command in this process; "in one process" takes the one switch out of it."""
    from toolchain import stages
    from toolchain.cli import main
    from toolchain.run.confine import inside

    if way == _WAYS[0]:
        stages.run_stages = lambda run, work, **_: work(run)  # type: ignore[assignment]
        inside.is_confined = lambda: True
    model, data = folder / "net.onnx", folder / "data.npz"
    sys.argv = ["toolchain", "deploy", str(model), "--calibration", str(data), "--out", str(out), "--quiet"]
    main()


def main() -> None:
    """Measure both ways in turns."""
    parser = argparse.ArgumentParser("python -m benchmarks.confined", description="What confinement costs.")
    parser.add_argument("--pairs", type=int, default=_PAIRS)
    parser.add_argument("--way", choices=_WAYS, help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way is not None:
        _run_one(arguments.way, *arguments.paths)
        return
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in _WAYS}
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        for pair in range(arguments.pairs):
            for way in _WAYS if pair % 2 else reversed(_WAYS):
                runs[way].append(deploy(way, Path(folder)))
    for way, rows in runs.items():
        sys.stdout.write(json.dumps({"way": way, "runs": rows}) + "\n")
    ratios = {
        name: [confined[name] / plain[name] for plain, confined in zip(runs[_WAYS[0]], runs[_WAYS[1]], strict=True)]
        for name in ("wall_s", "without_verify_s", "stages_s", "cpu_s")
    }
    spread = {
        name: {"median": statistics.median(own), "least": min(own), "most": max(own)} for name, own in ratios.items()
    }
    sys.stdout.write(json.dumps({"confined over in one process": spread}) + "\n")


if __name__ == "__main__":
    main()
