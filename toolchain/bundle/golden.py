"""Golden outputs: what the model returns for the evaluation set, kept beside its task metric."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.metric import create_metric
from toolchain.bundle.arrays import ArrayWriter
from toolchain.errors import usage
from toolchain.graph.float_outputs import FloatOutputs

_DOCUMENT = "golden.json"


@dataclass(frozen=True)
class GoldenOutputs:
    """Outputs (samples, ...) by name, mapped from files; `metric` is the model's own, None where none is asked for."""

    outputs: Mapping[str, NDArray[Any]]
    metric: float | None


def write_golden_outputs(
    folder: Path,
    batches: Iterable[Mapping[str, NDArray[Any]]],
    *,
    samples: int,
    stacked: bool,
    metric_name: str | None,
    labels: NDArray[np.int64] | None,
) -> None:
    """Write the model's outputs, batch by batch (n, ...), and its metric against the labels (samples,).

    stacked: a batch is one run, its outputs with an axis of samples before their own axes.
    Raises ToolchainError: exit 18 for an output with NaN, or with nothing finite on any sample, exit 2 where a metric lacks labels.
    """
    if metric_name is not None and labels is None:
        raise usage(
            f"the metric {metric_name} needs labels",
            where="data.metric",
            found="a data set without labels",
            fix='add the labels, or set data.metric = "none"',
        )
    metric = None if metric_name is None else create_metric(metric_name)
    references = FloatOutputs("golden outputs")
    writers: dict[str, ArrayWriter] = {}
    done = 0
    with ExitStack() as stack:
        for batch in batches:
            references.add(batch, first_sample=done, per_sample=True)
            for name, array in batch.items():
                if name not in writers:
                    path = folder / f"output-{len(writers)}.npy"
                    writers[name] = stack.enter_context(ArrayWriter(path, samples))
                writers[name].add(array)
            first = next(iter(batch.values()))
            count = len(first)
            if metric is not None and labels is not None:
                metric.add(first[0] if stacked else first, labels[done : done + count])
            done += count
        references.finish()
        for writer in writers.values():
            writer.finish()
    document = {"outputs": list(writers), "metric": None if metric is None else metric.compute()}
    (folder / _DOCUMENT).write_text(json.dumps(document), encoding="utf-8")


def read_golden_outputs(folder: Path) -> GoldenOutputs:
    """Return what write_golden_outputs wrote."""
    document = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
    outputs = {
        name: np.load(folder / f"output-{index}.npy", mmap_mode="r") for index, name in enumerate(document["outputs"])
    }
    return GoldenOutputs(outputs=outputs, metric=document["metric"])
