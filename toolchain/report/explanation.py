"""What explains a verdict: costs of layers, the metric of each class, the worst samples, the ranges of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolchain.agent.measure.record import CandidateRecord
from toolchain.agent.measure.worst import Answer
from toolchain.report.explanation_shape import ClassMetric, Explanation, SampleAnswer, TensorRange, WorstSample
from toolchain.report.layer_costs import read_layer_costs


@dataclass(frozen=True, kw_only=True)
class GraphNotes:
    """What the host knows of a payload's graph: PyTorch's names, SQNR by layer, and ranges by tensor with their source."""

    modules: Mapping[str, str] = field(default_factory=dict)
    sqnr_db: Mapping[str, float] = field(default_factory=dict)
    ranges: Mapping[str, Sequence[float]] = field(default_factory=dict)
    range_sources: Mapping[str, str] = field(default_factory=dict)


NO_NOTES = GraphNotes()


def read_graph_notes(
    lowerings: Mapping[tuple[str, str], Mapping[str, Any]], layers: Mapping[str, Any]
) -> dict[tuple[str, str], GraphNotes]:
    """Return the notes of each precision and runtime, from its lowering.json; layers.json has the SQNR of the first alone."""
    first = next(iter(lowerings), None)
    return {
        lowered_for: GraphNotes(
            modules=layers["modules"],
            sqnr_db=layers["sqnr_db"] if lowered_for == first else {},
            ranges=lowering.get("ranges", {}),
            range_sources=lowering.get("range_sources", {}),
        )
        for lowered_for, lowering in lowerings.items()
    }


def build_explanation(candidate: CandidateRecord, classes: Sequence[str], notes: GraphNotes) -> Explanation:
    """Return the explanation of a candidate; classes are their names by number."""
    evaluation = candidate.evaluation
    return Explanation(
        layers=read_layer_costs(
            candidate.layer_times, candidate.placement.layers, modules=notes.modules, sqnr_db=notes.sqnr_db
        ),
        by_class=[]
        if evaluation is None
        else [
            ClassMetric(
                number=score.number,
                name=classes[score.number] if 0 <= score.number < len(classes) else None,
                reference=score.reference,
                deployed=score.deployed,
            )
            for score in evaluation.by_class
        ],
        worst_samples=[]
        if evaluation is None
        else [
            WorstSample(
                index=sample.index,
                sqnr_db=sample.sqnr_db,
                differs=sample.differs,
                label=sample.text if sample.label is None else _name_class(sample.label, classes),
                reference=_read_answer(sample.reference, classes),
                deployed=_read_answer(sample.deployed, classes),
            )
            for sample in evaluation.worst
        ],
        ranges=[
            TensorRange(tensor=name, low=float(bounds[0]), high=float(bounds[1]), source=notes.range_sources.get(name))
            for name, bounds in notes.ranges.items()
        ],
    )


def _read_answer(answer: Answer, classes: Sequence[str]) -> SampleAnswer:
    return SampleAnswer(
        classes=[_name_class(number, classes) for number in answer.classes],
        scores=list(answer.scores),
        boxes=[list(box) for box in answer.boxes],
        values=list(answer.values),
        text=answer.text,
    )


def _name_class(number: int, classes: Sequence[str]) -> str:
    return classes[number] if 0 <= number < len(classes) else f"class {number}"
