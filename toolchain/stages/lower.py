"""Lower: the payload of one runtime and precision."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from toolchain.agent.facts import Facts, is_this_cpu
from toolchain.cache import Entry, read_versions
from toolchain.stages.run import Run
from toolchain.target import Precision, Target


def lower(run: Run, optimized: Entry, target: Target, precision: Precision, facts: Facts) -> Entry:
    """Return model.onnx, what the runtime gets, and lowering.json, what was decided and why."""
    samples = run.recipe.data.calibration_samples
    options = run.recipe.quantize
    # Layers are timed on this machine: what is slow here decides nothing about a board with another CPU.
    if target.emulated or not is_this_cpu(facts):
        options = options.model_copy(update={"choose_by_measurement": False})
    calibrates = precision != "float32" or target.runtime != "onnxruntime"
    inputs = {
        **run.identify_code(__name__, *(_list_methods(run, options.calibration) if calibrates else ())),
        "model": optimized.sha256,
        "target": [target.runtime, target.threads, target.activation_type],
        **_identify_builder(target),
        "precision": precision,
    }
    if calibrates:
        inputs |= {
            "quantize": options.model_dump(),
            "sqnr_db_min": run.recipe.gates.sqnr_db_min,
            # Precision is chosen by measurement, so that another CPU makes another result.
            "machine": [facts.arch, facts.cpu, list(facts.cpu_features)],
            **run.identify_calibration(samples),
        }

    def build(folder: Path) -> None:
        from toolchain.lower import LowerRequest, lower_model

        path = optimized.folder / "model.onnx"
        request = LowerRequest(
            model=path,
            target=target,
            precision=precision,
            facts=facts,
            feeds=run.bind_calibration(path, samples),
            options=options,
            sqnr_db_min=run.recipe.gates.sqnr_db_min,
        )
        lower_model(request, folder, start_steps=run.progress.steps)

    return run.stage(f"lower-{precision}", inputs, build)


def _list_methods(run: Run, calibration: str) -> list[str]:
    """Return the modules of the calibration methods that a recipe chooses among."""
    package = "toolchain.lower.calibration.methods"
    return run.sources.list_below(package) if calibration == "auto" else [f"{package}.{calibration}"]


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
