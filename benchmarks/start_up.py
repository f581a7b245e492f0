"""What ways of storing a payload save of its start and of its memory: `python -m benchmarks.start_up MODEL.onnx ...`.

Each way is opened and run once in fresh processes, in turns; the median of eleven, and the most of the resident memory. Only
the session is measured: Python, numpy and ONNX Runtime are loaded before.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import onnx
import onnxruntime
from onnxruntime import GraphOptimizationLevel

_ROUNDS = 11
# What is smaller stays in the model's own file.
_EXTERNAL_BYTES_MIN = 1024

_CHILD = """
import json, sys, time
import numpy as np
import onnxruntime as ort
path, entries, level, from_bytes = json.loads(sys.argv[1])
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 4
for key, value in entries.items():
    options.add_session_config_entry(key, value)
if level is not None:
    options.graph_optimization_level = ort.GraphOptimizationLevel(level)
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1000
before = peak()
start = time.perf_counter()
source = open(path, "rb").read() if from_bytes else path
session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
opened = time.perf_counter()
types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8}
feeds = {i.name: np.ones([s if isinstance(s, int) else (1 if n == 0 else 16) for n, s in enumerate(i.shape)], types[i.type]) for i in session.get_inputs()}
session.run(None, feeds)
print(json.dumps([(opened - start) * 1000, (time.perf_counter() - start) * 1000, peak() - before]))
"""

Way = tuple[str, dict[str, str], int | None, bool]
"""The file, entries of the session, the level of optimization (None is the default), whether it is read to memory first."""


def _optimize(source: Path, target: Path, **entries: str) -> Path:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.optimized_model_filepath = str(target)
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    return target


def _split(source: Path, target: Path) -> Path:
    onnx.save(
        onnx.load(source),
        target,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=_EXTERNAL_BYTES_MIN,
    )
    return target


def make_ways(source: Path, folder: Path) -> dict[str, Way]:
    """Return the ways of storing a model, written into a folder; a way that ONNX Runtime refuses is left out."""
    plain = GraphOptimizationLevel.ORT_DISABLE_ALL.value
    direct = {"session.use_ort_model_bytes_directly": "1", "session.use_ort_model_bytes_for_initializers": "1"}

    def optimize(name: str, **entries: str) -> Path:
        (folder / name).mkdir()
        return _optimize(source, folder / name / "model.onnx", **entries)

    def split() -> Path:
        (folder / "split").mkdir()
        return _split(source, folder / "split" / "model.onnx")

    external = {
        "session.optimized_model_external_initializers_file_name": "weights.bin",
        "session.optimized_model_external_initializers_min_size_in_bytes": str(_EXTERNAL_BYTES_MIN),
    }
    makers: dict[str, Callable[[], Way]] = {
        "as it is": lambda: (str(source), {}, None, False),
        "not packed": lambda: (str(source), {"session.disable_prepacking": "1"}, None, False),
        "weights beside it, mapped": lambda: (str(split()), {}, None, False),
        "optimized before": lambda: (str(optimize("optimized")), {}, plain, False),
        "optimized, weights mapped": lambda: (str(optimize("external", **external)), {}, plain, False),
        "optimized, packed weights mapped": lambda: (
            str(optimize("packed", **external, **{"session.save_external_prepacked_constant_initializers": "1"})),
            {},
            plain,
            False,
        ),
        "ORT format": lambda: (str(_optimize(source, folder / "model.ort")), {}, plain, False),
        "ORT format, bytes used directly": lambda: (str(folder / "model.ort"), direct, plain, True),
    }
    ways = {}
    for name, make in makers.items():
        try:
            ways[name] = make()
        except Exception as error:  # noqa: BLE001 - of ONNX Runtime's there is no common base
            print(f"{name}: {str(error).splitlines()[0][:100]}", file=sys.stderr)
    return ways


def _run(way: Way) -> Any:
    command = [sys.executable, "-c", _CHILD, json.dumps(way)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout)
    return (done.stderr.strip().splitlines() or [f"it ends with code {done.returncode}"])[-1][:100]


def main(paths: list[str]) -> None:
    """Print a table for each model."""
    for path in paths:
        print(f"\n{path}, ONNX Runtime {onnxruntime.__version__}\n")
        print("| stored | files, MB | open, ms | first answer, ms | memory, MB |\n| --- | --: | --: | --: | --: |")
        with tempfile.TemporaryDirectory() as folder:
            ways = make_ways(Path(path), Path(folder))
            found: dict[str, list[Any]] = {name: [] for name in ways}
            for _ in range(_ROUNDS):
                for name, way in ways.items():
                    found[name].append(_run(way))
            for name, way in ways.items():
                file = Path(way[0])
                wrong = next((item for item in found[name] if isinstance(item, str)), None)
                if wrong is not None:
                    print(f"| {name} | {wrong} |")
                    continue
                is_alone = file.parent == Path(folder) or file == Path(path)
                size_mb = sum(item.stat().st_size for item in ([file] if is_alone else file.parent.iterdir())) / 1e6
                opened, answered, memory = zip(*found[name], strict=True)
                print(
                    f"| {name} | {size_mb:.1f} | {median(opened):.1f} ({min(opened):.1f}) | "
                    f"{median(answered):.1f} ({min(answered):.1f}) | {max(memory):.1f} |"
                )


if __name__ == "__main__":
    main(sys.argv[1:])
