"""Optimize: the ONNX file simplified and fused, every pass checked against the one before."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from toolchain.project.members import find_member, load_member
from toolchain.project.seams import PASSES
from toolchain.run.cache import Entry
from toolchain.stages.run import PARITY_SAMPLES, Run, write_json


def optimize(run: Run, exported: Entry) -> Entry:
    """Return model.onnx after all passes, and optimize.json, what each of them did."""
    asked = [
        find_member(PASSES, name, where=f"{run.recipe.path}: optimize.passes") for name in run.recipe.optimize.passes
    ]
    inputs = {
        **run.identify_code(__name__, *asked, libraries=("onnxscript",)),
        "passes": run.recipe.optimize.passes,
        "model": exported.sha256,
        **run.identify_calibration(PARITY_SAMPLES),
    }

    def build(folder: Path) -> None:
        from toolchain import optimize as ours
        from toolchain.graph.file import read_onnx, write_onnx
        from toolchain.graph.opset import describe_opset
        from toolchain.graph.safety.quantization import check_scales

        path = exported.folder / "model.onnx"
        passes = (*ours.PASSES, *map(load_member, asked))
        advance = run.progress.steps("optimize", len(passes))
        feeds = run.bind_calibration(path, PARITY_SAMPLES)
        # No name of ours holds the model as it came: beside what the passes made of it, it would be held to the end.
        result = ours.optimize(read_onnx(path, trusted=True), list(feeds), passes=passes, on_pass=lambda _: advance())
        if run.recipe.model.onnx is not None:  # a pass may have computed what no check of the file could see
            check_scales(result.model, str(run.recipe.folder / run.recipe.model.onnx))
        write_onnx(result.model, folder / "model.onnx", step="optimize")
        document = {"opset": describe_opset(result.model), "passes": [asdict(record) for record in result.passes]}
        write_json(folder / "optimize.json", document)

    return run.stage("optimize", inputs, build)
