"""Whether data can prove anything: what makes a verdict on it worthless is refused, what weakens it is said."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from toolchain.data.dataset import find_labels, name_sample
from toolchain.data.survey import Survey
from toolchain.errors import ExitCode, ToolchainError

# A range ten times as wide as all other samples need costs int8 20 dB (20 · log10(10)): as much as its whole gate.
OUTLIER_RATIO = 10.0
# Samples that differ by no more than this of their magnitude differ by the rounding of float32 (2^-23), 8 times over.
_SAME = 1e-6
# So many more copies than this change what a metric and a quantile say by as much as they are read to.
_DUPLICATES_MAX = 0.1
# So few decide too little to name any share of inputs that they stand for; a default run has hundreds.
_FEW = 16
# Of several outliers, so many are named.
_NAMED = 3


def refuse_worthless(evaluation: Survey, *, where: str) -> None:
    """Refuse evaluation samples on which any model looks right.

    Raises ToolchainError (exit 20) for a single sample, for samples that are all the same, and for samples of one
    value each.
    """
    problem = None
    if evaluation.count == 1:
        problem, found = "one evaluation sample proves nothing", "1 sample"
    elif evaluation.spread <= _SAME:
        copies = len(set(evaluation.contents)) == 1
        value = "all zero" if _is_zero(evaluation) else f"the same {'bytes each' if copies else 'but for rounding'}"
        problem, found = "the evaluation samples are all the same", f"{len(evaluation.indices)} samples, {value}"
    elif evaluation.flat.all():
        problem = "every evaluation sample is a single value throughout"
        found = f"{len(evaluation.indices)} samples without any structure"
    if problem is not None:
        raise ToolchainError(
            ExitCode.INVALID,
            problem,
            where=where,
            expected="samples that differ, as the model will meet them",
            found=found,
            fix="give real samples, such as 256 of them",
        )


def warn_of_weakness(calibration: Survey, evaluation: Survey) -> list[str]:
    """Return what weakens a verdict on these samples, one sentence each."""
    return [
        *_warn_of_few(evaluation),
        *_warn_of_classes(evaluation, "are evaluated on"),
        *_warn_of_classes(calibration, "calibrate"),
        *_warn_of_constants(evaluation),
        *_warn_of_duplicates(evaluation),
        *_warn_of_calibration(calibration),
        *_warn_of_outliers(calibration),
        *_warn_of_overlap(calibration, evaluation),
    ]


def warn_of_resolution(samples: int, metric_drop_max: float | None) -> Iterator[str]:
    """Yield the warning for a limit on the metric's drop that is finer than one sample."""
    if metric_drop_max and 1 / samples > metric_drop_max:
        yield (
            f"the metric's resolution is 1/{samples}: a drop of {metric_drop_max:.2%} cannot be measured on {samples} "
            f"evaluation samples, {math.ceil(1 / metric_drop_max):,} or more can"
        )


def _is_zero(survey: Survey) -> bool:
    """Return whether all inputs are floats and zero."""
    return survey.peaks.keys() == survey.digests.keys() and all(not peaks.any() for peaks in survey.peaks.values())


def _warn_of_few(evaluation: Survey) -> Iterator[str]:
    different = len(set(evaluation.contents))
    if different < _FEW:
        yield f"only {different} different evaluation samples: the verdict holds for little else"


def _warn_of_classes(part: Survey, use: str) -> Iterator[str]:
    """Yield the warning for the first samples of a part that lies sorted by class."""
    labels = find_labels(part.samples)
    if labels is None:
        return
    used, there = len(np.unique(labels[: part.count])), len(np.unique(labels))
    if used < there <= part.count:
        yield f"the first {part.count} samples, which {use}, are of {used} of {there} classes: mix them in the file"


def _warn_of_constants(evaluation: Survey) -> Iterator[str]:
    for name, found in evaluation.digests.items():
        if len(set(found)) == 1:
            yield f"input {name} is the same in all {len(found)} evaluation samples: nothing is proven for another"


def _warn_of_duplicates(evaluation: Survey) -> Iterator[str]:
    seen = len(evaluation.indices)
    copies = seen - len(set(evaluation.contents))
    if copies > seen * _DUPLICATES_MAX:
        yield (
            f"{copies} of {seen} evaluation samples ({copies / seen:.0%}) are copies of others: {seen - copies} differ, "
            "and the verdict rests on them"
        )


def _warn_of_calibration(calibration: Survey) -> Iterator[str]:
    count = len(calibration.indices)
    if count == 1:
        yield "1 sample calibrates: the ranges of int8 hold for nothing else"
    elif len(set(calibration.contents)) == 1:
        yield f"the {count} samples that calibrate are all the same: the ranges of int8 hold for nothing else"


def _warn_of_outliers(calibration: Survey) -> Iterator[str]:
    for name, peaks in calibration.peaks.items():
        usual = float(np.median(peaks))
        outliers = [int(row) for row in np.argsort(-peaks, kind="stable") if peaks[row] >= OUTLIER_RATIO * usual > 0]
        if outliers:
            named = ", ".join(
                f"{name_sample(calibration.samples, int(calibration.indices[row]))} reaches {peaks[row]:.6g} ({peaks[row] / usual:,.0f} times)"
                for row in outliers[:_NAMED]
            )
            more = f", and {len(outliers) - _NAMED} more samples" if len(outliers) > _NAMED else ""
            yield (
                f"input {name} has outliers in the calibration data: {named}{more}, where half of the samples stay within "
                f"{usual:.6g}; they set its range unless the calibration method clips them"
            )


def _warn_of_overlap(calibration: Survey, evaluation: Survey) -> Iterator[str]:
    calibrated = set(calibration.contents)
    seen = len(evaluation.indices)
    common = sum(content in calibrated for content in evaluation.contents)
    if common:
        yield (
            f"{common} of {seen} evaluation samples ({common / seen:.0%}) also calibrated: the verdict is kinder than on "
            "samples that the artifact has not seen"
        )
