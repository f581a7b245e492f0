"""The float model's own answers as the truth, where the data has none: what a metric reads becomes what it compares with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.metrics import Targets
from toolchain.agent.measure.scores import view_scores
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import LABELS, Ragged, TargetArray
from toolchain.errors import ToolchainError, usage
from toolchain.project.recipe import Recipe
from toolchain.tasks import find_task

# What detectors show where nobody says otherwise: Ultralytics' predict has conf = 0.25.
SCORE_MIN = 0.25
# Of a class among several that may all be there.
_SHARE_MIN = 0.5
_BOXES, _CLASSES, _SCORES, _POINTS = "boxes", "classes", "scores", "points"
# Of the first output, whatever its name.
_FIRST = ("values", "embeddings", _SCORES)
# Of what a decoder makes under the same name.
_SAME = ("mask", "text", "tags")


def make_answer(recipe: Recipe, scoring: Scoring) -> Callable[[Targets], Targets]:
    """Return what makes the targets of a recipe's metric from what it reads, batch by batch.

    Raises ToolchainError (exit 2): for a target that no model answers, such as which samples belong together. What is
    returned raises it for outputs that are no such answers.
    """
    where = f"{recipe.path}: task.truth"
    exclusive = find_task(recipe.task.name).CLASS_AXIS is not None
    known = {LABELS, _BOXES, _CLASSES, _POINTS, *_FIRST, *_SAME}
    for target in scoring.targets:
        if target not in known:
            raise usage(
                f"{scoring.name} compares with {target}, which no model answers",
                where=where,
                expected=f"a metric that compares with one of {', '.join(sorted(known))}",
                found=f"{scoring.name}, with {target}",
                fix='give the data that target; or name another metric, such as "cosine" for vectors, "mae" for numbers',
            )

    def answer(read: Targets) -> Targets:
        return {target: _answer(target, read, where, exclusive=exclusive) for target in scoring.targets}

    return answer


def _answer(target: str, read: Targets, where: str, *, exclusive: bool) -> TargetArray:
    if target == LABELS:
        return _choose_classes(_take_first(read, target, where), where, exclusive=exclusive)
    if target in _FIRST:
        return _take_first(read, target, where)
    if target not in read:
        raise _refuse(where, f"{target} among what is decoded", ", ".join(read))
    answers = read[target]
    if target in (_BOXES, _CLASSES):
        return _select_rows(answers, read, where)
    if target == _POINTS and not isinstance(answers, Ragged):
        return np.concatenate([answers[..., :2], np.ones_like(answers[..., :1])], axis=-1)
    return answers


def _take_first(read: Targets, target: str, where: str) -> NDArray[Any]:
    for array in read.values():
        if not isinstance(array, Ragged):
            return array
        break
    raise _refuse(where, f"an array that {target} can be taken from", "rows of another number for each sample")


def _choose_classes(array: NDArray[Any], where: str, *, exclusive: bool) -> NDArray[np.int64]:
    scores = view_scores(array)
    if scores is None or scores.shape[1] < 2:
        raise _refuse(where, "scores (samples, classes)", f"shape {array.shape}")
    return scores.argmax(axis=1).astype(np.int64) if exclusive else (scores > _SHARE_MIN).astype(np.int64)


def _select_rows(rows: TargetArray, read: Targets, where: str) -> Ragged:
    """Return the rows whose score is one that is shown."""
    scores = read.get(_SCORES)
    if not isinstance(rows, Ragged) or not isinstance(scores, Ragged) or len(rows.values) != len(scores.values):
        raise _refuse(where, "boxes, scores and classes with a row for each box", ", ".join(read))
    kept = scores.values >= SCORE_MIN
    counts = [int(kept[start:stop].sum()) for start, stop in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Ragged(values=rows.values[kept], offsets=offsets)


def _refuse(where: str, expected: str, found: str) -> ToolchainError:
    return usage(
        "the float model's outputs are no answers that the metric could compare with",
        where=where,
        expected=expected,
        found=found,
        fix="name the decoder of the outputs in output.decode, and the task in task.name",
    )
