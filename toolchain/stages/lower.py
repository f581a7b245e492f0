"""Lower: the payload of one runtime and precision."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from toolchain.agent.facts import Facts, is_this_cpu
from toolchain.cache import Entry, read_versions
from toolchain.stages.run import Run, hash_code
from toolchain.target import Precision, Target


def lower(run: Run, optimized: Entry, target: Target, precision: Precision, facts: Facts, *, exported: Entry) -> Entry:
    """Return model.onnx, what the runtime gets, and lowering.json, what was decided and why.

    exported: what `optimized` was made from.
    """
    takes_float = precision == "float32" and target.runtime == "onnxruntime"
    # A float graph needs no range: one sample is there to time it on.
    samples = 1 if takes_float else run.recipe.data.calibration_samples
    options = run.recipe.quantize
    # Layers are timed on this machine: what is slow here decides nothing about a board with another CPU.
    if target.emulated or not is_this_cpu(facts):
        options = options.model_copy(update={"choose_by_measurement": False})
    inputs = {
        "code": hash_code("lower", "onnx_graph.py", "onnx_opset.py", "learned_ranges.py", "float_parity.py", "agent"),
        "versions": read_versions("onnx", "onnxruntime", "numpy", "numba"),
        "model": optimized.sha256,
        "target": [target.runtime, target.threads, target.activation_type],
        **_identify_builder(target),
        "precision": precision,
        "exported": exported.sha256,
        "chosen_by_measurement": options.choose_by_measurement,
        # Precisions and graphs are chosen by measurement, so that another CPU makes another result.
        "machine": [facts.arch, facts.cpu, list(facts.cpu_features)],
        **run.identify_calibration(samples),
    }
    if not takes_float:
        inputs |= {"quantize": options.model_dump(), "sqnr_db_min": run.recipe.gates.sqnr_db_min}

    def build(folder: Path) -> None:
        from toolchain.lower import LowerRequest, lower_model

        path = optimized.folder / "model.onnx"
        request = LowerRequest(
            model=path,
            exported=exported.folder / "model.onnx",
            target=target,
            precision=precision,
            facts=facts,
            feeds=run.bind_calibration(path, samples),
            options=options,
            sqnr_db_min=run.recipe.gates.sqnr_db_min,
        )
        lower_model(request, folder, start_steps=run.progress.steps)

    return run.stage(f"lower-{precision}", inputs, build)


def _identify_builder(target: Target) -> dict[str, Any]:
    """Return the part of a key that stands for what TensorRT lowerings depend on beside the others."""
    if target.runtime == "onnxruntime":
        return {}
    rtx = "tensorrt_rtx_cu13"
    installed = importlib.util.find_spec("tensorrt_rtx") is not None
    return {
        "listed_precisions": list(target.listed_precisions),
        "compute_capabilities": target.compute_capabilities,
        "tensorrt_rtx": read_versions(rtx) if installed else None,
    }
