"""The samples on which a payload answers least like the user's own model, with both answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Tuple

import numpy as np
from numpy.typing import NDArray

from .drift import view_rows
from .metrics import Targets
from .metrics.agreement import SCORES
from .scoring import Scoring
from .sqnr import measure_powers, to_db
from .targets import LABELS, TEXT, Ragged

SAMPLES_MAX = 6
# Of a detector's 100 boxes a picture, what an application would show.
_SCORE_MIN, _ROWS_MAX = 0.3, 8
TEXT_MAX = 200
"""Characters of a text that a record holds: a line of handwriting or a sentence, and not what a model repeats without an end."""
# An answer of a few numbers is told as numbers; a mask is told by its distance alone.
_VALUES_MAX = 8


@dataclass(frozen=True)
class Answer:
    """What a model says of one sample; a number that is not finite is None.

    Of scores of classes: the first three classes, scores as the model gives them. Of boxes: (rows, 4), left, top, right,
    bottom, in pixels of the model's input. `values` are those of a small output, `text` is the beginning of one that was read. All may be
    empty.
    """

    classes: Tuple[int, ...] = ()
    scores: Tuple[Optional[float], ...] = ()
    boxes: Tuple[Tuple[Optional[float], ...], ...] = ()
    values: Tuple[Optional[float], ...] = ()
    text: Optional[str] = None


@dataclass(frozen=True)
class WorstSample:
    """A sample of the evaluation set; sqnr_db is that of its worst output against the user's own model."""

    index: int
    sqnr_db: float
    differs: bool
    """Whether the first class is another; False where outputs hold no classes."""
    label: Optional[int]
    """Its class, where the targets are one class number for each sample."""
    reference: Answer
    deployed: Answer
    text: Optional[str] = None
    """The beginning of what should have been read, where the targets are texts."""


_Arrays = Mapping[str, NDArray[Any]]


class WorstSamples:
    """Keeps the worst of all samples that were added, other classes before the same, then the lower SQNR."""

    def __init__(self, scoring: Optional[Scoring]) -> None:
        self._decodes = scoring is not None and scoring.is_decoded
        # What is scored against numbers, texts or the input itself holds no classes, of whatever shape it is.
        self._holds_classes = scoring is None or bool({LABELS, SCORES}.intersection(scoring.targets))
        self._scoring = scoring
        self._worst: List[Tuple[Tuple[bool, float, int], WorstSample]] = []

    def add(
        self, start: int, originals: _Arrays, deployed: _Arrays, inputs: _Arrays, targets: Targets, *, stacked: bool
    ) -> None:
        """Add a batch whose first sample has the index `start`; a whole sample where stacked."""
        if stacked:
            originals, deployed = ({name: a[None] for name, a in arrays.items()} for arrays in (originals, deployed))
        count = min((len(array) for array in originals.values()), default=0)
        if not count or any(len(array) != count for array in (*originals.values(), *deployed.values())):
            return  # an output without an axis of samples tells nothing of one
        sqnr_db = np.min([_measure_db(originals[name], deployed[name]) for name in originals], axis=0)
        answers = [_find_classes(arrays) if self._holds_classes else None for arrays in (originals, deployed)]
        differs = np.zeros(count, bool)
        if answers[0] is not None and answers[1] is not None:
            differs = answers[0] != answers[1]
        keys = sorted((not differs[i], float(sqnr_db[i]), start + i) for i in range(count))[:SAMPLES_MAX]
        chosen = [key for key in keys if len(self._worst) < SAMPLES_MAX or key < self._worst[-1][0]]
        for key in chosen:
            own = key[2] - start
            sample = WorstSample(
                index=key[2],
                sqnr_db=key[1],
                differs=not key[0],
                label=_read_label(targets, own),
                reference=self._read(originals, inputs, own, stacked=stacked),
                deployed=self._read(deployed, inputs, own, stacked=stacked),
                text=_read_text(targets.get(TEXT), own),
            )
            self._worst.append((key, sample))
        self._worst = sorted(self._worst, key=lambda item: item[0])[:SAMPLES_MAX]

    def list_samples(self) -> Tuple[WorstSample, ...]:
        """Return the worst first; those that are answered exactly alike are none."""
        return tuple(sample for (_, sqnr_db, _), sample in self._worst if sqnr_db < 200.0 or sample.differs)

    def _read(self, outputs: _Arrays, inputs: _Arrays, index: int, *, stacked: bool) -> Answer:
        one = {name: array[index : index + 1] for name, array in outputs.items()}
        if self._decodes and self._scoring is not None and not stacked:
            rows = {name: array[index : index + 1] for name, array in inputs.items()}
            decoded = self._scoring.decode(one, rows)
            boxes, scores, classes = (decoded.get(name) for name in ("boxes", "scores", "classes"))
            if isinstance(boxes, Ragged) and isinstance(scores, Ragged) and isinstance(classes, Ragged):
                return _list_boxes(boxes.read(0), scores.read(0), classes.read(0))
            text = _read_text(decoded.get(TEXT), 0)
            if text is not None:
                return Answer(text=text)
            if not self._holds_classes and len(decoded) == 1:
                return _list_values(next(iter(decoded.values())))
        first = next(iter(one.values()))
        scores_of = view_rows(first)
        if scores_of is not None and self._holds_classes:
            order = np.argsort(-scores_of[0], kind="stable")[:3]
            return Answer(classes=tuple(map(int, order)), scores=_read_numbers(scores_of[0][order]))
        return _list_values(first)


def _read_label(targets: Targets, index: int) -> Optional[int]:
    labels = targets.get(LABELS)
    is_class = isinstance(labels, np.ndarray) and labels.ndim == 1 and labels.dtype.kind in "iu"
    return int(labels[index]) if isinstance(labels, np.ndarray) and is_class else None


def _read_text(texts: object, index: int) -> Optional[str]:
    if not isinstance(texts, Ragged) or texts.values.dtype != np.uint8 or texts.values.ndim != 1:
        return None
    return texts.read(index).tobytes().decode("utf-8", errors="replace")[:TEXT_MAX]


def _measure_db(reference: NDArray[Any], deployed: NDArray[Any]) -> NDArray[np.float64]:
    powers = [measure_powers(reference[index], deployed[index]) for index in range(len(reference))]
    found: NDArray[np.float64] = to_db([power.signal for power in powers], [power.noise for power in powers])
    return found


def _find_classes(outputs: _Arrays) -> Optional[NDArray[np.int64]]:
    rows = view_rows(next(iter(outputs.values())))
    return None if rows is None else rows.argmax(axis=1)


def _list_values(array: object) -> Answer:
    if isinstance(array, np.ndarray) and array.size <= _VALUES_MAX and array.dtype.kind in "biuf":
        return Answer(values=_read_numbers(array.reshape(-1)))
    return Answer()


def _list_boxes(boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any]) -> Answer:
    order = np.argsort(-scores, kind="stable")
    order = order[~(scores[order] < _SCORE_MIN)][:_ROWS_MAX]
    return Answer(
        classes=tuple(int(classes[row]) for row in order),
        scores=_read_numbers(scores[order]),
        boxes=tuple(_read_numbers(boxes[row]) for row in order),
    )


def _read_numbers(values: NDArray[Any]) -> Tuple[Optional[float], ...]:
    return tuple(float(value) if np.isfinite(value) else None for value in values)
