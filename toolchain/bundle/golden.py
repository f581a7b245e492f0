"""Golden outputs: what the model returns for the evaluation set, kept beside its task metric."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.metrics import Targets
from toolchain.agent.measure.scoring import Scoring
from toolchain.agent.measure.targets import join_batches, join_targets, slice_target, split_targets
from toolchain.bundle.arrays import ArrayWriter
from toolchain.graph.float_outputs import FloatOutputs

_DOCUMENT = "golden.json"
_ANSWERS = "answers.npz"


@dataclass(frozen=True)
class GoldenOutputs:
    """Outputs (samples, ...) by name, mapped from files; `metric` is the model's own, None where none is asked for."""

    outputs: Mapping[str, NDArray[Any]]
    metric: float | None
    answers: Targets
    """What the model answers as a metric compares with it; nothing where the data says what is right."""


Answer = Callable[[Targets], Targets]
"""From what a metric reads of a batch to the targets that these answers are."""


def write_golden_outputs(
    folder: Path,
    batches: Iterable[tuple[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]]],
    *,
    samples: int,
    stacked: bool,
    scoring: Scoring | None,
    targets: Targets,
    answer: Answer | None = None,
) -> None:
    """Write the model's outputs, and its metric against the targets (samples, ...); of each batch come inputs and outputs (n, ...).

    answer: makes the model's own answers the targets, which are kept beside the outputs; None takes the targets.
    stacked: a batch is one run, its outputs with an axis of samples before their own axes.
    Raises ToolchainError: exit 18 for an output with NaN, or with nothing finite on any sample, exit 23 where a metric lacks a target.
    """
    tally = None if scoring is None else scoring.start()
    references = FloatOutputs("golden outputs")
    writers: dict[str, ArrayWriter] = {}
    answers: list[Targets] = []
    done = 0
    with ExitStack() as stack:
        for inputs, batch in batches:
            references.add(batch, first_sample=done, per_sample=True)
            for name, array in batch.items():
                if name not in writers:
                    path = folder / f"output-{len(writers)}.npy"
                    writers[name] = stack.enter_context(ArrayWriter(path, samples))
                writers[name].add(array)
            count = len(next(iter(batch.values())))
            if tally is not None:
                outputs = {name: array[0] if stacked else array for name, array in batch.items()}
                own: Targets = {name: slice_target(target, done, done + count) for name, target in targets.items()}
                if scoring is not None and answer is not None:
                    own = answer(scoring.decode(outputs, inputs))
                    answers.append(own)
                tally.add(outputs, own, inputs)
            done += count
        references.finish()
        for writer in writers.values():
            writer.finish()
    document = {"outputs": list(writers), "metric": None if tally is None else tally.compute()}
    if answers:
        np.savez(folder / _ANSWERS, **split_targets(join_batches(answers)))  # type: ignore[arg-type]
    (folder / _DOCUMENT).write_text(json.dumps(document), encoding="utf-8")


def read_golden_outputs(folder: Path) -> GoldenOutputs:
    """Return what write_golden_outputs wrote."""
    document = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
    outputs = {
        name: np.load(folder / f"output-{index}.npy", mmap_mode="r") for index, name in enumerate(document["outputs"])
    }
    answers: Targets = {}
    if (folder / _ANSWERS).is_file():
        with np.load(folder / _ANSWERS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        answers = join_targets(arrays, len(next(iter(outputs.values()))), _ANSWERS)
    return GoldenOutputs(outputs=outputs, metric=document["metric"], answers=answers)
