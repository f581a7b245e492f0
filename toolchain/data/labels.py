"""Labels that fit: one class number for each sample, from 0 to below the number of the model's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.data.dataset import Samples, find_labels, name_sample
from toolchain.errors import usage

_SET_AXES = 2
# Of the samples with a wrong label, so many are named.
_NAMED = 3


def read_labels(labels: NDArray[Any], *, where: str) -> NDArray[np.int64]:
    """Return labels as they lie in a file as class numbers `(N,)`, or 0 and 1 for each class that a sample may have `(N, classes)`.

    Raises ToolchainError (exit 2) for another shape, for fractions and other types, and for negative numbers.
    """
    if (
        labels.ndim == _SET_AXES
        and labels.shape[1] > 1
        and labels.dtype.kind in "biu"
        and np.isin(labels, (0, 1)).all()
    ):
        return labels.astype(np.int64)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise usage(
            "the labels are not classes",
            where=where,
            expected=f"integers of shape ({len(labels)},), or 0 and 1 of shape ({len(labels)}, classes) where a sample may have several",
            found=f"{labels.dtype} of shape {labels.shape}{_find_fraction(labels)}",
            fix="give the number of its class for each sample, or leave the labels out",
        )
    # Before the type changes: the largest numbers of uint64 would become negative.
    wrong = np.flatnonzero((labels < 0) | (labels > np.iinfo(np.int64).max))
    if len(wrong):
        raise usage(
            "a label is no class",
            where=where,
            expected="0 and more",
            found=_name_samples(labels, wrong),
            fix="leave out the samples that have no class, and count classes from 0",
        )
    return labels.astype(np.int64)


def check_labels(
    samples: Samples,
    count: int | None = None,
    *,
    outputs: int,
    where: str,
    classes: Sequence[str] | None = None,
) -> None:
    """Refuse labels that are none of the model's outputs, samples without any, and several that are all of one class.

    A model of one output answers no classes: by the largest of its scores it is always right.

    Args:
        samples: With a label each.
        count: How many of them are used; None checks all.
        outputs: How many scores the model gives for a sample.
        where: The file or option that the labels come from.
        classes: Their names, where the data set has some.

    Raises ToolchainError (exit 2).
    """
    labels = find_labels(samples)
    if labels is None:
        raise usage(
            "the data has no labels",
            where=where,
            expected="the class of each sample",
            found="none",
            fix="add the labels, or name a data set that has some",
        )
    labels = labels[:count]
    if outputs == 1:
        raise usage(
            "the model gives one number for each sample, of which no class is read",
            where=where,
            expected="a score for each class: an output of shape (N, classes), of 2 classes or more",
            found=f"shape (N, 1), and labels from {labels.min()} to {labels.max()}",
            fix="return both scores, torch.cat([1 - p, p], dim=1) of a probability p; or have p judged as it is: "
            'task.metric = "auc" of a recipe, with 0 and 1 as the target anomalous in the place of the labels',
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= outputs))
    if len(wrong) == 0:
        _refuse_one_class(labels, samples, where=where, classes=classes)
        return
    one_based = int(labels.min()) == 1 and int(labels.max()) == outputs
    raise usage(
        "a label is none of the model's outputs",
        where=where,
        expected=f"0 to {outputs - 1}: the model has {outputs} outputs",
        found=_name_samples(labels, wrong, samples=samples, classes=classes),
        fix="count classes from 0: labels - 1"
        if one_based
        else "bring the data that the model was trained for, or a model with an output for every class",
    )


def _refuse_one_class(
    labels: NDArray[np.int64], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) samples that whoever always gives the same answer has right, all of them."""
    if len(labels) < 2 or bool((labels != labels[0]).any()):
        return
    label = int(labels[0])
    name = f" ({classes[label]})" if classes is not None and label < len(classes) else ""
    more = "" if len(labels) == len(samples) else f" that are used, of {len(samples)}"
    raise usage(
        "the samples are all of one class",
        where=where,
        expected="samples of two classes or more: of one alone, any constant answer is right",
        found=f"class {label}{name} from {name_sample(samples, 0)} to {name_sample(samples, len(labels) - 1)}: "
        f"{len(labels)} samples{more}",
        fix="mix the classes in the file, and give samples of each"
        if more
        else "give samples of every class that the model tells apart",
    )


def describe_missing_classes(classes: Sequence[str] | None, *, outputs: int, where: str) -> str | None:
    """Return the warning for a data set of fewer named classes than the model has outputs; None where they agree.

    A part of the classes is legal, such as one of ImageNet's, and then the numbers of the classes are in doubt: a folder
    data set counts the classes that it has.
    """
    if classes is None or len(classes) >= outputs:
        return None
    return (
        f"{where} has {len(classes)} classes and the model {outputs} outputs: class {classes[-1]} counts as output "
        f"{len(classes) - 1}, which holds only if the model was trained in this order"
    )


def _find_fraction(labels: NDArray[Any]) -> str:
    """Return the first label that is no whole number, as a part of a message."""
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.floating):
        return ""
    fractions = np.flatnonzero(labels != np.floor(labels))
    return f"; sample {fractions[0]} has {labels[fractions[0]]}" if len(fractions) else ""


def _name_samples(
    labels: NDArray[Any],
    wrong: NDArray[np.int64],
    *,
    samples: Samples | None = None,
    classes: Sequence[str] | None = None,
) -> str:
    """Return the first wrong samples with their labels, and how many there are, as a part of a message."""

    def describe(index: int) -> str:
        label = int(labels[index])
        name = f"sample {index}" if samples is None else name_sample(samples, index)
        known = classes is not None and 0 <= label < len(classes)
        return f"{name} has {label}" + (f" ({classes[label]})" if classes is not None and known else "")

    named = ", ".join(describe(int(index)) for index in wrong[:_NAMED])
    return f"{named}; {len(wrong)} of {len(labels)} samples"
