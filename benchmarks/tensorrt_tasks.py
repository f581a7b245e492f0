"""Whether NVIDIA's parser and builder take the model of each task as it is lowered for jetson.

    python -m benchmarks.tensorrt_tasks [MODEL ...]

For each model and precision one JSON line: what `--target jetson` lowers, and the engine that TensorRT for RTX, whose parser
and builder need no GPU, builds of those very bytes for compute capability 8.6 and 8.9. Engines are not yet run on hardware.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import onnx

from benchmarks.tasks import MODELS
from toolchain import stages
from toolchain.agent.manifest import Precision
from toolchain.agent.measure.facts import read_facts
from toolchain.errors import ToolchainError
from toolchain.lower.tensorrt.profile import find_profile
from toolchain.lower.tensorrt.rtx import build_engine
from toolchain.project.find import find_recipe, find_target
from toolchain.project.recipe import Recipe
from toolchain.run.cache import Cache, cache_root
from toolchain.run.progress import Progress

_COMPUTE_CAPABILITIES = ["8.6", "8.9"]
_PRECISIONS: tuple[Precision, ...] = ("fp16", "int8")


def judge_precision(recipe: Recipe, precision: Precision, progress: Progress) -> dict[str, Any]:
    """Return the row of a model in one precision; a refusal is its result."""
    row: dict[str, Any] = {"model": recipe.name, "precision": precision}
    run = stages.Run(recipe=recipe, cache=Cache(cache_root()), progress=progress)
    target = find_target("jetson")
    exported = stages.export(run, stages.train(run))
    optimized = stages.optimize(run, exported)
    try:
        lowered = stages.lower(run, optimized, target, precision, read_facts("onnxruntime"), exported=exported)
        document = json.loads((lowered.folder / "lowering.json").read_text(encoding="utf-8"))
        engine = build_engine(
            onnx.load(lowered.folder / "model.onnx"),
            compute_capabilities=_COMPUTE_CAPABILITIES,
            profile=find_profile(run.bind_calibration(exported.folder / "model.onnx", 2)),
            sparse_weights=bool(document["sparse_2_4"]),
        )
    except ToolchainError as error:
        return row | {"accepted": False, "error": str(error).replace("\n", " ")}
    return {
        **row,
        "accepted": True,
        "engine_bytes": len(engine),
        "engine_sha256": hashlib.sha256(engine).hexdigest(),
        "int8_layers": len(document.get("layers", [])),
        "kept_in_float": len(document["kept_in_float"]),
        "sqnr_db": document.get("sqnr_db"),
    }


def main() -> int:
    """Print a row for each model and precision; the exit code is 1 where one is refused."""
    names = sys.argv[1:] or [name for name in MODELS if "." not in name and "@" not in name]
    refused = 0
    with Progress(stream=sys.stderr) as progress:
        for name in names:
            recipe = find_recipe(name)
            for precision in _PRECISIONS:
                row = judge_precision(recipe, precision, progress)
                refused += not row["accepted"]
                sys.stdout.write(json.dumps(row) + "\n")
                sys.stdout.flush()
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
