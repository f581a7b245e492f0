"""What it gains to fold a camera's bytes into the model: models/resnet8/camera.toml on ONNX Runtime, one thread, batch 1.

    python -m benchmarks.input_folding

One JSON line: ratios (how many times as fast, with 99 % intervals), interleaved in one run. float_folded: colours, scale and std
in the first convolution, against nodes of their own. int8_fed: bytes that go to the integer kernels as they are, against
Cast, Transpose, Gather, Mul, Add and QuantizeLinear before them. in_python: the same int8 kernels fed with floats that numpy has
made of the bytes, as an application does it without [input], against int8_fed. `equal` are the outputs of the int8 models
that share a range: not a bit may differ.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from toolchain import stages
from toolchain.agent.measure.facts import read_facts
from toolchain.agent.measure.latency import measure_latency
from toolchain.data.process_input import process_input
from toolchain.graph.session import open_as_board
from toolchain.lower.cpu_scheme import choose_scheme
from toolchain.lower.qdq import write_qdq
from toolchain.lower.ranges import TensorRange
from toolchain.lower.runtimes.onnxruntime import plan_int8
from toolchain.lower.sensor_bytes import feed_bytes, find_byte_ranges
from toolchain.optimize import optimize
from toolchain.project.find import find_recipe, find_target
from toolchain.run.cache import Cache, cache_root
from toolchain.run.progress import Progress

_LIMIT_S = 60.0


def main() -> int:
    """Print the line."""
    run = stages.Run(
        recipe=find_recipe("resnet8-camera"), cache=Cache(cache_root()), progress=Progress(stream=sys.stderr)
    )
    target = find_target("cpu")
    weights = stages.train(run)
    exported = stages.export(run, weights)
    processed = stages.put_input(run, exported)
    optimized = stages.optimize(run, processed)
    facts = read_facts("onnxruntime")
    lowered = stages.lower(run, optimized, target, "int8", facts, exported=processed)
    ranges = json.loads((lowered.folder / "lowering.json").read_text(encoding="utf-8"))["ranges"]
    scheme = choose_scheme(facts.arch, frozenset(facts.cpu_features), "auto")
    folded = onnx.load(optimized.folder / "model.onnx")
    known = {name: TensorRange(low, high) for name, (low, high) in ranges.items()}
    known |= find_byte_ranges(folded, list(known))
    calculated = write_qdq(folded, plan_int8(folded), known, scheme)
    spec = run.describe_input("input")
    if spec is None:
        raise TypeError("the recipe has [input]")
    frame: NDArray[Any] = run.fed.evaluation.batch(0, 1)["input"]
    # The same integer kernels, and floats in front of them: their range is that of the calculation before any fold.
    batch = {"input": process_input(frame, spec)}
    own = optimize(onnx.load(exported.folder / "model.onnx"), [batch]).model
    (first,) = find_byte_ranges(onnx.load(processed.folder / "model.onnx"), ["input_processed"]).values()
    own_known = {**known, "input": first}
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "float": processed.folder / "model.onnx",
            "float_folded": optimized.folder / "model.onnx",
            "int8": _save(calculated, Path(folder) / "calculated.onnx"),
            "int8_fed": _save(feed_bytes(calculated), Path(folder) / "fed.onnx"),
            "int8_of_floats": _save(write_qdq(own, plan_int8(own), own_known, scheme), Path(folder) / "floats.onnx"),
        }
        sessions = {name: open_as_board(path, threads=1, is_timed=True) for name, path in models.items()}
        runs = {
            name: (lambda session=session: session.run({"input": frame}))
            for name, session in sessions.items()
            if name != "int8_of_floats"
        }
        runs["in_python"] = lambda: sessions["int8_of_floats"].run({"input": process_input(frame, spec)})
        equal = all(
            bool((left == right).all())
            for left, right in zip(runs["int8"]().values(), runs["int8_fed"]().values(), strict=True)
        )
        measured = measure_latency(runs, on_progress=lambda _done, _total: None, limit_s=_LIMIT_S)
        pairs = {
            "float_folded": ("float", "float_folded"),
            "int8_fed": ("int8", "int8_fed"),
            "in_python": ("in_python", "int8_fed"),
        }
        ratios = {name: measured.compare(*pair) for name, pair in pairs.items()}
        medians_us = {name: round((measured.summarize(name).p50_ms or 0.0) * 1000, 1) for name in runs}
        for session in sessions.values():
            session.close()
    line = {
        "model": "resnet8-camera",
        "equal": equal,
        **{name: [ratio.ratio, ratio.low, ratio.high] for name, ratio in ratios.items()},
        "p50_us": medians_us,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    return 0


def _save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, path)
    return path


if __name__ == "__main__":
    sys.exit(main())
