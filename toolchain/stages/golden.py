"""Golden: what the exported model returns for the evaluation set, the reference of parity and metric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from toolchain.data.dataset import Dataset
from toolchain.errors import usage
from toolchain.run.cache import Entry
from toolchain.stages.run import Run

Batch = tuple[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]]
"""Inputs and outputs of some samples, each by name."""

# Samples in one run of PyTorch: enough for its speed, few enough for pictures at 224.
_BATCH = 64


def golden(run: Run, exported: Entry, weights: Path | None, *, sensed: bool = False) -> Entry:
    """Return the outputs of the model that was exported, and its task metric.

    PyTorch computes them; for a recipe that brings an ONNX file, ONNX Runtime on that very file. sensed: on what becomes of
    the sensor's samples, where that is not what the data set makes of them.
    """
    data = run.data if run.sensed is None or not sensed else run.sensed.processed
    count = run.count_evaluation()
    inputs = {
        **run.identify_code(__name__, *run.metric_members, libraries=("torchvision",)),
        "model": exported.sha256,
        "metric": run.describe_metric(),
        "evaluation": [data.evaluation.sha256, count],
    }

    def build(folder: Path) -> None:
        from toolchain.bundle.golden import write_golden_outputs

        write_golden_outputs(
            folder,
            check_rows(_run_onnx(run, exported, data) if weights is None else _run_module(run, weights, data, count)),
            samples=count,
            stacked=weights is None,
            scoring=run.scoring,
            targets=run.take_targets(),
            answer=run.answer,
        )
        if data is run.data:
            run.keep_evaluation(folder)

    return run.stage("golden", inputs, build)


def check_rows(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches; refuse (exit 2) an output whose shape differs from sample to sample: it has no golden form."""
    first: dict[str, tuple[int, ...]] = {}
    for inputs, batch in batches:
        for name, array in batch.items():
            row = first.setdefault(name, array.shape[1:])
            if array.shape[1:] != row:
                raise usage(
                    "an output has another shape for other samples",
                    where=f"output {name}",
                    expected=f"the shape {row} for each sample",
                    found=str(array.shape[1:]),
                    fix="return a fixed number of results, such as the best 100, and leave the selection to what reads "
                    "them",
                )
        yield inputs, batch


def _run_module(run: Run, weights: Path, data: Dataset, count: int) -> Iterator[Batch]:
    """Yield the module's inputs and outputs (n, ...), batch by batch."""
    from toolchain.module.pytorch_run import run_pytorch
    from toolchain.stages.module import load_model

    advance = run.progress.steps("golden outputs", count)
    model = load_model(run, weights)
    for start in range(0, count, _BATCH):
        stop = min(start + _BATCH, count)
        arrays = data.evaluation.batch(start, stop)
        yield arrays, run_pytorch(model, arrays)
        advance(stop - start)


def _run_onnx(run: Run, exported: Entry, data: Dataset) -> Iterator[Batch]:
    """Yield the ONNX file's inputs and outputs run by run, of the outputs an axis of samples before their own axes."""
    from toolchain.graph.session import open_as_board

    path = exported.folder / "model.onnx"
    feeds = run.bind_plain(path, data=data)
    session = open_as_board(path, threads=1)
    advance = run.progress.steps("golden outputs", len(feeds))
    for feed in feeds:
        yield feed, {name: array[None] for name, array in session.run(feed).items()}
        advance()
