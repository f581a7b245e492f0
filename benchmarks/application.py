"""What opening a board's release costs an application: frame rate beside the bare runtime, start and memory, a swap under load.

    python -m benchmarks.application [--bundle dist/resnet8/cpu/bundle] [--cpp build/app/plain/edge_app_run]
                                     [--only rate,start,swap] [--frames 10000]

The bundle's first payload is put on a board in a temporary folder, as two releases. One JSON line a case:

- rate: single frames through `model(frame)` and through the bare session, measured in turns as payloads are (latency.md):
  the median of each in ms, and the bare one's over the application's with its interval. With --cpp the median of its calls, measured right after.
- start: a process from its beginning to its first answer, and its largest memory (VmHWM), of either, the median of five.
- swap: frames through `open_current` while another release becomes active as soon as one is followed: how many were answered, how many
  wrong or lost, by how many releases in turn, and the longest call.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.agent.application.model import Model, open_current
from toolchain.agent.errors import ToolchainError
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.latency import measure_latency

_REPOSITORY = Path(__file__).parents[1]
_RUNS = 5
_LOOK_S = 0.05
_OPEN = """\
import sys, numpy as np
root, payload, dtype, *shape = sys.argv[1:]
frame = np.zeros([int(size) for size in shape], dtype)
if payload:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
    session.run(None, {session.get_inputs()[0].name: frame})
else:
    from edge_app import open_current
    with open_current(root) as model:
        model(frame)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def make_board(bundle: Path, folder: Path) -> tuple[Any, list[str], Any]:
    """Return a board with the bundle's first payload as two releases, their ids, and a frame (1, ...) of random numbers."""
    from tests.agent.application import boards
    from tests.agent.quick_bundle import COUNTER
    from tests.agent.surroundings import make_keys

    manifest, _ = read_manifest(bundle)
    (spec,) = manifest.inputs
    described = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    made = [
        boards.make_payload_bundle(
            "float32",
            content=(bundle / manifest.candidates[0].path).read_bytes(),
            counter=COUNTER + turn,
            emulated=False,  # so that it is warmed up
            golden={**boards.make_golden(list(manifest.golden.outputs)), "inputs": {spec.name: "golden/in.npy"}},
            **{key: described[key] for key in ("inputs", "outputs")},
        )
        for turn in range(2)
    ]
    for name in ("keys", "bytecode"):
        (folder / name).mkdir()
    board = boards.make_board(folder / "root", make_keys(folder / "keys"), folder / "bytecode", *made)
    (board.root / "still_proven.py").symlink_to(_REPOSITORY / "toolchain/agent/install/still_proven.py")
    shape = [1 if size is None else size for size in spec.shape]
    frame = np.random.default_rng(3).normal(size=shape).astype(spec.dtype)
    return board, [release.id for release in made], frame


def open_bare(payload: Path, threads: int) -> Any:
    """Return a session as anybody would open it, with the options that were measured."""
    import onnxruntime

    from toolchain.agent.measure.runtimes.onnxruntime import PROVIDER, make_options

    return onnxruntime.InferenceSession(str(payload), make_options(threads), providers=[PROVIDER])


def measure_rate(board: Any, frame: Any, cpp: Path | None) -> Mapping[str, Any]:
    """Return the medians of both, and the share of the bare session's frame rate that the application has."""
    with open_current(board.root) as model:
        session = open_bare(board.payload, model.threads)
        names, name = [spec.name for spec in model.outputs], model.inputs[0].name
        runs: dict[str, Callable[[], object]] = {
            "bare": lambda: session.run(names, {name: frame}),
            "application": lambda: model(frame),
        }
        measured = measure_latency(runs, samples=3000)
        ratio = measured.compare("bare", "application")
    row = {f"{case}_p50_ms": measured.summarize(case).p50_ms for case in runs}
    row |= {"share_of_bare": ratio.ratio, "share_low": ratio.low, "share_high": ratio.high}
    if cpp is not None:
        row["cpp_p50_ms"] = _run_cpp(cpp, board, name, frame, repeat=3000)
    return row


def _run_cpp(cpp: Path, board: Any, name: str, frame: Any, *, repeat: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frame")
        path.write_bytes(frame.tobytes())
        command = [str(cpp), str(board.root), str(Path(folder, "out")), f"{name}={path}", "--repeat", str(repeat)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(said.rpartition(" median ")[2].split()[0])


def measure_start(board: Any, frame: Any, cpp: Path | None) -> Mapping[str, Any]:
    """Return seconds and megabytes of a process up to its first answer."""
    row = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "edge_app").mkdir()
        (folder / "edge_app/__init__.py").symlink_to(_REPOSITORY / "app/edge_app/__init__.py")
        (folder / "edge_app/agent").symlink_to(_REPOSITORY / "toolchain/agent")
        environment = {**os.environ, "PYTHONPATH": name}
        shape = [str(size) for size in frame.shape]
        for case, payload in (("bare", str(board.payload)), ("application", "")):
            command = [sys.executable, "-c", _OPEN, str(board.root), payload, str(frame.dtype), *shape]
            runs = [_time(command, environment) for _ in range(_RUNS)]
            row[f"{case}_s"] = round(statistics.median(wall_s for wall_s, _ in runs), 3)
            row[f"{case}_mb"] = round(statistics.median(int(said) for _, said in runs) / 1024, 1)
        if cpp is not None:
            (folder / "frame").write_bytes(frame.tobytes())
            spec = json.loads((board.release / "manifest.json").read_text(encoding="utf-8"))["inputs"][0]
            command = [str(cpp), str(board.root), str(folder / "out"), f"{spec['name']}={folder / 'frame'}"]
            runs = [_time(command, environment) for _ in range(_RUNS)]
            row["cpp_s"] = round(statistics.median(wall_s for wall_s, _ in runs), 3)
            row["cpp_mb"] = round(statistics.median(float(said.split()[-2]) for _, said in runs), 1)
    return row


def _time(command: list[str], environment: Mapping[str, str]) -> tuple[float, str]:
    started_s = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return time.perf_counter() - started_s, done.stdout


def swap_under_load(board: Any, ids: list[str], frame: Any, frames: int) -> Mapping[str, Any]:
    """Return what became of so many frames while releases changed all the time."""
    ended = threading.Event()
    switches = 0

    def switch() -> None:
        nonlocal switches
        while not ended.wait(_LOOK_S):
            if model.release.bundle_id == board.current:
                board.switch(ids[switches % 2])
                switches += 1

    expected = open_bare(board.payload, 1)
    answered = lost = wrong = changes = 0
    last, longest_s = "", 0.0
    with open_current(board.root, check_interval_s=0.05) as model:
        right = expected.run([spec.name for spec in model.outputs], {model.inputs[0].name: frame})
        switcher = threading.Thread(target=switch)
        switcher.start()
        try:
            while answered + lost < frames:
                started_s = time.perf_counter()
                try:
                    answers = model(frame)
                except ToolchainError:
                    lost += 1
                    continue
                longest_s = max(longest_s, time.perf_counter() - started_s)
                answered += 1
                wrong += not _is_right(model, answers, right)
                changes, last = changes + (model.release.bundle_id != last), model.release.bundle_id
                time.sleep(0.001)  # a camera is slower than this, and 10,000 frames take longer than a few swaps
        finally:
            ended.set()
            switcher.join()
        trouble = model.trouble
    row = {"frames": frames, "answered": answered, "lost": lost, "wrong": wrong, "switched": switches}
    return {
        **row,
        "followed": changes - 1,
        "longest_ms": round(longest_s * 1e3, 2),
        "trouble": trouble and str(trouble),
    }


def _is_right(model: Model, answers: Mapping[str, Any], right: Any) -> bool:
    return all(np.array_equal(answers[spec.name], array) for spec, array in zip(model.outputs, right, strict=True))


def main() -> None:
    """Print one row per case."""
    parser = argparse.ArgumentParser(description="Measure what opening a board's release costs an application.")
    parser.add_argument("--bundle", type=Path, default=Path("dist/resnet8/cpu/bundle"))
    parser.add_argument("--cpp", type=Path)
    parser.add_argument("--only", default="rate,start,swap")
    parser.add_argument("--frames", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        board, ids, frame = make_board(given.bundle, Path(name))
        cases: dict[str, Callable[[], Mapping[str, Any]]] = {
            "rate": lambda: measure_rate(board, frame, given.cpp),
            "start": lambda: measure_start(board, frame, given.cpp),
            "swap": lambda: swap_under_load(board, ids, frame, given.frames),
        }
        for case in given.only.split(","):
            print(json.dumps({"case": case, **cases[case]()}), flush=True)


if __name__ == "__main__":
    main()
