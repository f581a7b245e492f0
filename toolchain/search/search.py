"""The search: trials one after another until there are enough, by any number of workers, and what they found."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from optuna.trial import Trial

from toolchain.agent.manifest import TRUTH_FLOAT, Precision
from toolchain.agent.measure.gates.metric import DEFAULT_DROP_SHARE, choose_drop_max
from toolchain.deploy.local import LocalTransport
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.project.recipe import Recipe, SearchSection, SearchStep
from toolchain.run.cache import hash_json
from toolchain.run.progress import Progress
from toolchain.search.objectives import Objectives
from toolchain.search.reference import Reference, measure_reference
from toolchain.search.request import SearchRequest
from toolchain.search.results import write_results
from toolchain.search.space import draw_entries, list_steps
from toolchain.search.study import Study
from toolchain.search.trial import Draw, EarlyStop, run_trial

# What is missing or full here says nothing of what was drawn, and the next trial would meet it too.
_OF_THE_MACHINE = (ExitCode.STORAGE, ExitCode.MISSING)

# So many times what the gate allows by default: a model that falls so far in PyTorch is not won back by its export.
_STOP_GATES = 5

OpenProgress = Callable[[Path | None], Progress]
"""From the folder that gets an event log to what shows the progress of one trial."""


def search_recipe(request: SearchRequest, *, open_progress: OpenProgress) -> Path:
    """Run trials until there are enough of them and return the page with their front.

    Raises ToolchainError: exit 2 for a recipe that cannot be searched, the error of the last trial where none came to
    an end, exit 24 where none passed its gates. The results are written in any case.
    """
    recipe, section = request.recipe, request.recipe.search or SearchSection()
    _check_request(recipe)
    metric = _require_metric(recipe)
    steps = list_steps(recipe)
    with open_progress(None) as progress:
        reference = measure_reference(recipe, samples=section.stop_samples, progress=progress)
    objectives = Objectives(metric=metric, emulated=request.target.emulated)
    study = Study(
        name=_name_study(request, steps, reference),
        storage=request.storage or str(request.out / "search.journal"),
        out=request.out,
        directions=objectives.directions,
        section=section,
    )
    stop = EarlyStop(reference=reference, drop_max=_choose_stop(recipe, objectives, reference.value))
    while _run_next(request, steps, study, stop, objectives, open_progress):
        with study.locked():
            write_results(request, study.list_records(), objectives)
    with study.locked():
        page = write_results(request, study.list_records(), objectives)
    _judge(study.list_records(), request.out)
    return page


def _run_next(
    request: SearchRequest,
    steps: list[SearchStep],
    study: Study,
    stop: EarlyStop,
    objectives: Objectives,
    open_progress: OpenProgress,
) -> bool:
    """Run one more trial; return whether there was one to run."""
    with study.next_trial(request.trials) as begun:
        if begun is None:
            return False
        _settle_trial(request, steps, study, begun[0], begun[1], stop, objectives, open_progress)
        return True


def _settle_trial(
    request: SearchRequest,
    steps: list[SearchStep],
    study: Study,
    trial: Trial,
    transport: LocalTransport,
    stop: EarlyStop,
    objectives: Objectives,
    open_progress: OpenProgress,
) -> None:
    """Run a trial and keep what came out, an error as well."""
    folder = transport.bundle.parent
    section = request.recipe.search or SearchSection()
    precisions: list[Precision] = section.precision or list(request.target.precision)
    entries = draw_entries(trial, steps, where=f"{request.recipe.path}: search.steps: ")
    precision = cast("Precision", trial.suggest_categorical("precision", precisions))
    draw = Draw(entries=entries, precision=precision)
    record: dict[str, Any] = {
        "number": trial.number,
        "entries": [dict(entry) for entry in draw.entries],
        "precision": draw.precision,
        "folder": folder.name,
    }
    started_s = time.monotonic()
    try:
        with open_progress(folder) as progress, progress.stage(f"trial {trial.number}"):
            if earlier := _find_earlier(study, record):
                progress.log("repeats", trial=earlier["number"])
                record |= {**earlier, "number": trial.number, "repeats": earlier["number"]}
            else:
                record |= run_trial(
                    request.recipe,
                    request.target,
                    draw,
                    stop=stop,
                    objectives=objectives,
                    transport=transport,
                    settings=request.settings,
                    progress=progress,
                )
    except ToolchainError as error:
        if error.code in _OF_THE_MACHINE:
            raise
        record |= {"state": "failed", "error": error.to_dict()}
    except Exception as error:  # noqa: BLE001 - a search that runs overnight goes on with the next trial
        what = f"{type(error).__name__}: {error}"
        record |= {"state": "failed", "error": {"code": int(ExitCode.UNEXPECTED), "what": what}}
    record["duration_s"] = round(time.monotonic() - started_s, 1)
    if "drop" in record:
        gate = _choose_gate(request.recipe, objectives, record.get("reference", stop.reference.value))
        study.set_excess(trial, record["drop"] - gate)
    study.end_trial(trial, record, objectives.list_values(record) if record["state"] == "complete" else None)


def _choose_gate(recipe: Recipe, objectives: Objectives, reference: float) -> float:
    return choose_drop_max(objectives.scale, recipe.gates.metric_drop_max, reference, recipe.task.truth)


def _choose_stop(recipe: Recipe, objectives: Objectives, reference: float) -> float:
    """Return by how much a model may fall in PyTorch: what the recipe asks for, else five times the gate's default.

    The float model's own answers may be 0 away from themselves, of which no share is any: then five times the gate itself.
    """
    asked = (recipe.search or SearchSection()).stop_drop
    if asked is None and recipe.task.truth == TRUTH_FLOAT:
        return _STOP_GATES * _choose_gate(recipe, objectives, reference)
    return objectives.scale.choose_drop_max(asked, _STOP_GATES * DEFAULT_DROP_SHARE, reference)


def _find_earlier(study: Study, record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the trial that drew the same and came to an end; to run it again would tell nothing new."""
    for other in study.list_records():
        same = all(other[key] == record[key] for key in ("entries", "precision"))
        if same and other["state"] != "failed" and "repeats" not in other:
            return other
    return None


def _check_request(recipe: Recipe) -> None:
    if (processes := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise usage(
            "the processes of a search do not train together",
            where="environment: WORLD_SIZE",
            expected="1",
            found=processes,
            fix="start the same command several times: the workers share the trials",
        )
    problems = {
        "model": ("an ONNX file is not compressed", "a builder", recipe.model.onnx),
    }
    for key, (what, expected, found) in problems.items():
        if found is not None:
            raise usage(
                what, where=f"{recipe.path}: {key}", expected=expected, found=found, fix="search another recipe"
            )


def _require_metric(recipe: Recipe) -> str:
    if recipe.metric_name is None:
        raise usage(
            "a search needs a task metric",
            where=f"{recipe.path}: data.metric",
            expected="a metric",
            found="none",
            fix="search another recipe, or name its metric",
        )
    return recipe.metric_name


def _name_study(request: SearchRequest, steps: list[SearchStep], reference: Reference) -> str:
    """Return a name that says everything that makes trials comparable: the same samples, model and judge as well."""
    recipe, target = request.recipe, request.target
    identity: Mapping[str, Any] = {
        "recipe": recipe.model_dump(mode="json"),
        "steps": [step.model_dump(mode="json") for step in steps],
        "subject": reference.identity,
        "target": [target.name, target.model_dump(mode="json")],
    }
    return f"{recipe.name}-{target.name}-{hash_json(json.loads(json.dumps(identity)))[:12]}"


def _judge(records: list[dict[str, Any]], out: Path) -> None:
    """Raise ToolchainError where the search found nothing that one could deploy."""
    states = [record["state"] for record in records]
    if any(record.get("verdict") == "pass" for record in records):
        return
    failed = [record["error"] for record in records if record["state"] == "failed"]
    if len(failed) == len(records):
        last: dict[str, Any] = failed[-1] if failed else {"code": 1, "what": "no trial was run"}
        raise ToolchainError(
            ExitCode(last["code"]),
            "every trial of the search failed",
            where=str(out / "trials.json"),
            expected="at least one that comes to an end",
            found=f"in the last one: {last['what']}",
            fix=str(last.get("fix") or "look the others up in trials.json"),
        )
    raise ToolchainError(
        ExitCode.METRIC,
        "no trial of the search passed its gates",
        where=str(out / "front.json"),
        expected="one that passes",
        found=f"{states.count('complete')} complete, {states.count('stopped')} stopped, {states.count('failed')} failed",
        fix="search more trials, widen [search] of the recipe, or its gates",
    )
