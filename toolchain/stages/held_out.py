"""Samples held out for the search for int8: of the part that calibrates, behind those that calibrate, and never the board's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.agent.measure.metrics import Targets
from toolchain.agent.measure.targets import slice_target
from toolchain.data.shared_samples import hash_samples
from toolchain.errors import ToolchainError
from toolchain.stages.run import Run
from toolchain.tasks.own_answers import make_answer

if TYPE_CHECKING:
    from toolchain.lower.task_trial import Task

# Half of them search, half confirm. A thousand that a model answers like float prove a drop of at most half a point.
HELD_OUT_MAX = 2000


def hold_out(run: Run, model: Path) -> Task | None:
    """Return what decides about int8 in the place of SQNR; None where the recipe leaves it to SQNR."""
    from toolchain.lower.task_trial import Task

    accuracy = run.recipe.quantize.accuracy
    if accuracy == "sqnr" or run.scoring is None:
        return None
    calibration, first = run.data.calibration, run.recipe.data.calibration_samples
    last = min(first + HELD_OUT_MAX, len(calibration))
    answer, problem = _find_answer(run)
    names = run.scoring.list_targets(list(calibration.targets)) if answer is None else []
    missing = [name for name in names if name not in calibration.targets]
    if last <= first:
        problem = f"the {len(calibration)} samples of the part that calibrates all calibrate"
    elif missing and problem is None:
        problem = f"the samples that calibrate come without {missing[0]}"
    elif problem is None and (shared := _count_shared(run, first, last)):
        problem = f"{shared} of {last - first} samples held out are among those of the evaluation"
    return Task(
        accuracy=accuracy,
        scoring=run.scoring,
        feeds=run.bind_calibration(model, max(last, 1))[first:],
        targets={} if problem else {name: slice_target(calibration.targets[name], first, last) for name in names},
        drop_max=run.recipe.gates.metric_drop_max,
        answer=answer,
        problem=problem,
    )


def _find_answer(run: Run) -> tuple[Callable[[Targets], Targets] | None, str | None]:
    """Return what makes targets of the float model's answers, where these are asked for, or why nothing does."""
    if run.recipe.quantize.accuracy != "agreement" or run.scoring is None:
        return run.answer, None
    try:
        return make_answer(run.recipe, run.scoring), None
    except ToolchainError as error:
        return None, error.what


def identify_held_out(run: Run) -> dict[str, Any]:
    """Return the part of a key that stands for what hold_out returns."""
    if run.recipe.quantize.accuracy == "sqnr":
        return {}
    return {
        "accuracy": [run.describe_metric(), run.recipe.gates.metric_drop_max, HELD_OUT_MAX],
        "held_out_of": [run.data.calibration.sha256, run.data.evaluation.sha256, run.count_evaluation()],
    }


def _count_shared(run: Run, first: int, last: int) -> int:
    """Return how many of these calibration samples are evaluation samples too, by their bytes."""
    evaluated = set(hash_samples(run.data.evaluation, 0, run.count_evaluation()))
    return sum(digest in evaluated for digest in hash_samples(run.data.calibration, first, last))
