"""Optimize: the ONNX file simplified and fused, every pass checked against the one before."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from toolchain.run.cache import Entry
from toolchain.stages.run import PARITY_SAMPLES, Run, write_json


def optimize(run: Run, exported: Entry) -> Entry:
    """Return model.onnx after all passes, and optimize.json, what each of them did."""
    inputs = {
        **run.identify_code(__name__, libraries=("onnxscript",)),
        "model": exported.sha256,
        **run.identify_calibration(PARITY_SAMPLES),
    }

    def build(folder: Path) -> None:
        from toolchain.graph.file import read_onnx, write_onnx
        from toolchain.graph.opset import describe_opset
        from toolchain.optimize import PASSES
        from toolchain.optimize import optimize as optimize_model

        path = exported.folder / "model.onnx"
        advance = run.progress.steps("optimize", len(PASSES))
        feeds = run.bind_calibration(path, PARITY_SAMPLES)
        result = optimize_model(read_onnx(path, trusted=True), list(feeds), on_pass=lambda _: advance())
        write_onnx(result.model, folder / "model.onnx", step="optimize")
        document = {"opset": describe_opset(result.model), "passes": [asdict(record) for record in result.passes]}
        write_json(folder / "optimize.json", document)

    return run.stage("optimize", inputs, build)
