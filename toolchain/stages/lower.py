"""Lower: the payload of one runtime and precision."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any

from toolchain.agent.facts import Facts, is_this_cpu
from toolchain.cache import Cache, Entry, read_versions
from toolchain.stages.run import Run, hash_code
from toolchain.target import Precision, Target

# Twenty seconds of measurement each: what they cannot tell is smaller than what two sessions differ by, or nearly so.
_QUIET_ATTEMPTS = 3


def lower(run: Run, optimized: Entry, target: Target, precision: Precision, facts: Facts) -> Entry:
    """Return model.onnx, what the runtime gets, and lowering.json, what was decided and why."""
    samples = run.recipe.data.calibration_samples
    options = run.recipe.quantize
    # Layers are timed on this machine: what is slow here decides nothing about a board with another CPU.
    if target.emulated or not is_this_cpu(facts):
        options = options.model_copy(update={"choose_by_measurement": False})
    inputs = {
        "code": hash_code("lower", "onnx_graph.py", "learned_ranges.py", "float_parity.py", "agent"),
        "versions": read_versions("onnx", "onnxruntime", "numpy", "numba"),
        "model": optimized.sha256,
        "target": [target.runtime, target.threads, target.activation_type],
        **_identify_builder(target),
        "precision": precision,
    }
    if precision != "float32" or target.runtime != "onnxruntime":
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

    stage = f"lower-{precision}"
    return run.stage(stage, count_attempt(run.cache, stage, inputs), build)


def count_attempt(cache: Cache, stage: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs with the number of the attempt whose result may be used, or is yet to be made.

    What could not be decided by measurement is measured again by the next run, under a key of its own: another run may
    be using the result that is there. On a machine that was quiet each time, it is left at three.
    """
    for attempt in itertools.count():
        numbered = {**inputs, "attempt": attempt} if attempt else inputs
        entry = cache.find(stage, numbered)
        if entry is None:
            return numbered
        speed = json.loads((entry.folder / "lowering.json").read_text(encoding="utf-8")).get("speed", {})
        if speed.get("status") != "undecided" or (not speed["problems"] and attempt + 1 >= _QUIET_ATTEMPTS):
            return numbered
    raise AssertionError  # the count has no end


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
