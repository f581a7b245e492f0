"""Explain: how much of each layer's result a payload keeps, and what PyTorch calls the layer. For the report alone."""

from __future__ import annotations

from pathlib import Path

from toolchain.agent.manifest import Precision
from toolchain.run.cache import Entry
from toolchain.stages.run import Run, write_json

# An SQNR to a decibel; each sample keeps every inner tensor of both graphs in memory while it is compared.
_SAMPLES = 4


def explain(run: Run, optimized: Entry, lowered: Entry, precision: Precision) -> Entry:
    """Return layers.json: `sqnr_db` of one precision, and `modules`, by the name of the node in the graph that was lowered."""
    inputs = {
        **run.identify_code(__name__),
        "model": optimized.sha256,
        "lowered": lowered.sha256,
        "precision": precision,
        **run.identify_calibration(_SAMPLES),
    }

    def build(folder: Path) -> None:
        from toolchain.errors import ToolchainError
        from toolchain.graph.file import read_onnx
        from toolchain.lower.layer_errors import measure_layer_errors, name_modules

        path = optimized.folder / "model.onnx"
        model = read_onnx(path, trusted=True)
        problem, sqnr_db = None, {}
        try:
            feeds = run.bind_calibration(path, _SAMPLES)
            sqnr_db = measure_layer_errors(model, read_onnx(lowered.folder / "model.onnx", trusted=True), feeds)
        except ToolchainError as error:  # the graph of another runtime, which this host cannot open
            problem = error.what
        write_json(
            folder / "layers.json",
            {"precision": precision, "sqnr_db": sqnr_db, "modules": name_modules(model), "problem": problem},
        )

    return run.stage("explain", inputs, build)
