"""Streaming calibration against ONNX Runtime's quantize_static, side by side in one run: time and memory.

    python -m benchmarks.calibration [--images 128] [--repeats 3] [--output FILE.jsonl]
    python -m benchmarks.calibration_quality        what the ranges are worth

mobilenet_v2 at 224 (benchmarks/mobilenet.py), pictures one by one, from the float ONNX file to the int8 file: theirs is
one call of quantize_static (uint8 activations, int8 weights per channel), ours is load, plan, calibrate, write. Every
case is a fresh process, with all CPUs. Its time is that of the call, without the imports before it and with the loading
of our compiled loop; its memory is the peak that the kernel recorded for the process. Ours and theirs take turns, and
each number is the median over the repeats.

One JSON line per method: method, model, images, ours_s, theirs_s, time_ratio, ours_mb, theirs_mb, memory_ratio (how many
times less); for minmax also ranges_equal: whether every range is ONNX Runtime's, bit for bit. ONNX Runtime has no MSE
calibration, so its line has ours alone.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Bounds = dict[str, tuple[float, float]]

_MODEL = "mobilenet_v2"
# Ours to ONNX Runtime's name.
_METHODS = {"minmax": "MinMax", "percentile": "Percentile", "entropy": "Entropy", "mse": None}


def prepare(folder: Path, images: int) -> None:
    """Write model.onnx and images.npy, float32 (images, 3, 224, 224)."""
    from benchmarks.mobilenet import build_mobilenet, read_pictures
    from toolchain.module.export import export_onnx

    pictures = read_pictures(0, images)
    np.save(folder / "images.npy", pictures)
    export_onnx(build_mobilenet(), {"input": pictures[:1]}, folder / "model.onnx")


def read_batches(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the pictures one by one from disk; none of them stays in memory, or in a map that would count as such."""
    count = len(np.load(folder / "images.npy", mmap_mode="r"))
    for index in range(count):
        pictures = np.load(folder / "images.npy", mmap_mode="r")
        yield {"input": np.array(pictures[index : index + 1])}


def bind_ours(method: str, folder: Path) -> Callable[[], Bounds]:
    """Return what quantizes with our calibration and writer, and returns the ranges."""
    import onnx

    from toolchain.agent.measure.facts import read_facts
    from toolchain.lower.calibration import calibrate
    from toolchain.lower.cpu_scheme import choose_scheme
    from toolchain.lower.qdq import write_qdq
    from toolchain.lower.runtimes.onnxruntime import plan_int8

    def run() -> Bounds:
        model = onnx.load(folder / "model.onnx")
        plan = plan_int8(model)
        facts = read_facts("onnxruntime")
        scheme = choose_scheme(facts.arch, frozenset(facts.cpu_features), "auto")
        ranges = calibrate(model, plan.tensors, read_batches(folder), method=method, symmetric=scheme.symmetric)
        onnx.save(write_qdq(model, plan, ranges, scheme), folder / "ours.onnx")
        return {name: (found.low, found.high) for name, found in ranges.items()}

    return run


def bind_theirs(method: str, folder: Path) -> Callable[[], Bounds]:
    """Return what quantizes with quantize_static, and returns MinMax's ranges (of other methods, its cache fails)."""
    from onnxruntime import quantization

    batches = read_batches(folder)
    cache = folder / "theirs.json" if method == "MinMax" else None
    if cache is not None:
        cache.unlink(missing_ok=True)

    class Reader(quantization.CalibrationDataReader):
        def get_next(self) -> Any:
            return next(batches, None)

    def run() -> Bounds:
        quantization.quantize_static(
            folder / "model.onnx",
            folder / "theirs.onnx",
            Reader(),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod[method],
            calibration_cache_path=cache,
        )
        if cache is None:
            return {}
        entries = json.loads(cache.read_text(encoding="utf-8"))["data"]
        return {name: (_read_bound(entry["lowest"]), _read_bound(entry["highest"])) for name, entry in entries.items()}

    return run


def _read_bound(entry: dict[str, Any]) -> float:
    return float(np.ravel(entry["data"])[0])


def run_case(side: str, method: str, folder: Path) -> None:
    """Run one case and print what it took, as the last line."""
    run = bind_ours(method, folder) if side == "ours" else bind_theirs(method, folder)
    start = time.perf_counter()
    ranges = run()
    seconds = time.perf_counter() - start
    # Not ru_maxrss: a process inherits it from the one that started it.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    if peak is None:
        raise OSError("the kernel tells no peak memory in /proc/self/status")
    print("\n" + json.dumps({"seconds": seconds, "mb": int(peak[1]) / 1024, "ranges": ranges}))


def start_case(side: str, method: str, folder: Path) -> dict[str, Any]:
    """Run one case in a process of its own, and return what it printed."""
    command = [sys.executable, "-m", "benchmarks.calibration", "--case", side, method, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare_method(method: str, folder: Path, images: int, repeats: int) -> dict[str, Any]:
    """Return the row of one method."""
    theirs_name = _METHODS[method]
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    for _ in range(repeats):
        runs["ours"].append(start_case("ours", method, folder))
        if theirs_name is not None:
            runs["theirs"].append(start_case("theirs", theirs_name, folder))
    seconds, mb = (
        {side: statistics.median(run[key] for run in done) for side, done in runs.items() if done}
        for key in ("seconds", "mb")
    )
    compared = "theirs" in seconds
    row = {
        "method": method,
        "model": _MODEL,
        "images": images,
        "ours_s": round(seconds["ours"], 3),
        "theirs_s": round(seconds["theirs"], 3) if compared else None,
        "time_ratio": round(seconds["theirs"] / seconds["ours"], 2) if compared else None,
        "ours_mb": round(mb["ours"], 1),
        "theirs_mb": round(mb["theirs"], 1) if compared else None,
        "memory_ratio": round(mb["theirs"] / mb["ours"], 2) if compared else None,
    }
    if method == "minmax":
        row["ranges_equal"] = all(
            [min(theirs[0], 0.0), max(theirs[1], 0.0)] == ours
            for name, ours in runs["ours"][0]["ranges"].items()
            for theirs in [runs["theirs"][0]["ranges"][name]]
        )
    return row


def main() -> None:
    """Print one row per method, and write them to a file where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=_METHODS, default=list(_METHODS))
    parser.add_argument("--output", type=Path, help="also write the lines to this file")
    parser.add_argument("--case", nargs=3, metavar=("SIDE", "METHOD", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case is not None:
        side, method, folder = arguments.case
        run_case(side, method, Path(folder))
        return
    with tempfile.TemporaryDirectory() as temporary:
        prepare(Path(temporary), arguments.images)
        # The first of ours may compile the counting loop, which happens once a machine.
        start_case("ours", "percentile", Path(temporary))
        rows = []
        for method in arguments.methods:
            rows.append(compare_method(method, Path(temporary), arguments.images, arguments.repeats))
            print(json.dumps(rows[-1]), flush=True)
    if arguments.output is not None:
        arguments.output.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
