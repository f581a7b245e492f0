"""Lower: the payload of one runtime and precision."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.agent.manifest import Precision
from toolchain.agent.measure.facts import Facts, describe_accelerator, is_this_accelerator, is_this_cpu
from toolchain.agent.measure.libraries import find_module
from toolchain.agent.measure.traits import find_traits
from toolchain.data.dataset import name_sample
from toolchain.project.target import Target
from toolchain.run.cache import Cache, Entry
from toolchain.stages.held_out import hold_out, identify_held_out
from toolchain.stages.run import Run, write_json

# Twenty seconds of measurement each: what they cannot tell is smaller than what two sessions differ by, or nearly so.
_QUIET_ATTEMPTS = 3


def lower(run: Run, optimized: Entry, target: Target, precision: Precision, facts: Facts, *, exported: Entry) -> Entry:
    """Return model.onnx, what the runtime gets, and lowering.json, what was decided and why.

    The target has one runtime; of its thread counts layers are timed on the first. exported: what `optimized` was made from.
    """
    # An engine is built for shapes, which the data tells.
    takes_float = precision == "float32" and find_traits(target.runtime).engine is None
    # A float graph needs no range: one sample is there to time it on.
    samples = 1 if takes_float else run.recipe.data.calibration_samples
    options = run.recipe.quantize
    # Layers are timed on this machine: what is slow here decides nothing about a board with another CPU or runtime.
    if not _is_timed_here(target, facts):
        options = options.model_copy(update={"choose_by_measurement": False})
    inputs = {
        **run.identify_code(
            __name__,
            *(options.list_calibration_methods() if not takes_float else ()),
            *(run.metric_members if precision == "int8" and options.accuracy != "sqnr" else ()),
            runtime=target.runtime,
        ),
        "model": optimized.sha256,
        "target": [target.runtime, target.threads, target.activation_type, sorted(target.listed_precisions)],
        **_identify_engine(target, facts if options.choose_by_measurement else None),
        "precision": precision,
        "exported": exported.sha256,
        "chosen_by_measurement": options.choose_by_measurement,
        # Precisions and graphs are chosen by measurement, so that another CPU makes another result.
        "machine": [facts.arch, facts.cpu, list(facts.cpu_features)],
        **run.identify_calibration(samples),
    }
    if not takes_float:
        inputs |= {"quantize": options.model_dump(), "sqnr_db_min": run.recipe.gates.sqnr_db_min}
    if precision == "int8":
        inputs |= identify_held_out(run)

    def build(folder: Path) -> None:
        from toolchain.lower import LowerRequest, lower_model

        model = optimized.folder / "model.onnx"
        request = LowerRequest(
            model=model,
            exported=exported.folder / "model.onnx",
            target=target,
            precision=precision,
            facts=facts,
            feeds=run.bind_calibration(model, samples),
            options=options,
            sqnr_db_min=run.recipe.gates.sqnr_db_min,
            task=hold_out(run, model) if precision == "int8" else None,
        )
        lower_model(request, folder, start_steps=run.progress.steps)
        path = folder / "lowering.json"
        passes = json.loads((optimized.folder / "optimize.json").read_text(encoding="utf-8"))["passes"]
        # What was lowered is what the passes made of the model: users find both in one file.
        lowering = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {**lowering, "passes": {record["name"]: record["report"] for record in passes}})

    name = target.name_lowered(precision, target.runtime)
    stage = f"lower-{name.replace(' ', '-')}"
    entry = run.stage(stage, count_attempt(run.cache, stage, inputs), build)
    # Of a cached result too: what was not done as asked is said in every run.
    for note in json.loads((entry.folder / "lowering.json").read_text(encoding="utf-8")).get("notes", []):
        run.note(f"{name}: {note}")
    return entry


def list_lowered(run: Run, target: Target) -> list[tuple[Precision, str]]:
    """Return every precision and runtime of a target, in its order; a precision that one of several runtimes lacks is told."""
    from toolchain.lower.lower import find_lowerings

    known = {runtime: find_lowerings(runtime) for runtime in target.runtimes}
    found: list[tuple[Precision, str]] = []
    for precision in target.precision:
        able = [runtime for runtime in target.runtimes if precision in known[runtime]]
        lacking = [runtime for runtime in target.runtimes if runtime not in able]
        if able and lacking:
            run.note(f"{' and '.join(lacking)} has no {precision}: it is a candidate by {' and '.join(able)} alone")
        # What none of them has is refused where it is lowered.
        found += [(precision, runtime) for runtime in able or target.runtimes]
    return found


def list_outliers(run: Run, target: Target, lowerings: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    """Return a warning for each calibration sample that set ranges alone, of lowering.json by precision and runtime."""
    warnings = []
    for lowered_for, document in lowerings.items():
        by_sample: dict[int, list[Mapping[str, Any]]] = {}
        for outlier in document.get("outliers", ()):
            by_sample.setdefault(outlier["sample"], []).append(outlier)
        for sample, outliers in by_sample.items():
            worst = max(outliers, key=lambda outlier: float(outlier["times"]))
            warnings.append(
                f"calibration {name_sample(run.data.calibration, sample)} alone sets the {target.name_lowered(*lowered_for)} range of "
                f"{len(outliers)} {'tensor' if len(outliers) == 1 else 'tensors'}: {worst['tensor']} reaches "
                f"{worst['magnitude']:.6g}, {worst['times']:,.0f} times what half of the samples stay within"
            )
    return warnings


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


def _is_timed_here(target: Target, facts: Facts) -> bool:
    """Return whether the board is like this machine, so that what is slow here is slow there."""
    if target.emulated or not is_this_cpu(facts) or find_module(target.runtime) is None:
        return False
    return find_traits(target.runtime).engine is None or is_this_accelerator(facts)


def _identify_engine(target: Target, timed_on: Facts | None) -> dict[str, Any]:
    """Return the part of a key that stands for what the lowering of an engine depends on beside the others."""
    if find_traits(target.runtime).engine is None:
        return {}
    return {
        "compute_capabilities": target.compute_capabilities,
        "timed_on": None if timed_on is None else describe_accelerator(timed_on),
    }
