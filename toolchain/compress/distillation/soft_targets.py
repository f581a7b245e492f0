"""What a teacher's outputs say to a student: distributions over classes where there are classes, numbers elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor


def compare_outputs(
    student: Mapping[str, Tensor], teacher: Mapping[str, Tensor], *, class_axis: int | None, temperature: float
) -> Tensor:
    """Return how far a student's outputs are from the teacher's, equal in order and shapes: the mean over the outputs.

    class_axis: of the first output, along which the scores of classes lie; None where it has no classes.

    The first output is compared as distributions, T² * KL(teacher / T || student / T), where it has classes: T² keeps
    the gradient at the size of the labels' (Hinton et al. 2015, section 2.1). Others are compared as numbers, by the
    squared difference in units of the teacher's own variance, so that no output drowns another.
    """
    parts = [
        _compare_distributions(ours, theirs, class_axis, temperature)
        if class_axis is not None and index == 0
        else _compare_numbers(ours, theirs)
        for index, (ours, theirs) in enumerate(zip(student.values(), teacher.values(), strict=True))
    ]
    return sum(parts[1:], parts[0]) / len(parts)


def _compare_distributions(student: Tensor, teacher: Tensor, axis: int, temperature: float) -> Tensor:
    log_student = F.log_softmax(student.float() / temperature, dim=axis)
    log_teacher = F.log_softmax(teacher.float() / temperature, dim=axis)
    total = F.kl_div(log_student, log_teacher, log_target=True, reduction="sum")
    distributions = student.numel() // student.shape[axis]
    return temperature**2 * total / distributions


def _compare_numbers(student: Tensor, teacher: Tensor) -> Tensor:
    teacher = teacher.float()
    # A constant output has no variance to measure by: then it is the mean of its squares, or 1 of zeros alone.
    scale = next((value for value in (teacher.var(correction=0), teacher.square().mean()) if float(value) > 0), None)
    difference = F.mse_loss(student.float(), teacher)
    return difference if scale is None else difference / scale
