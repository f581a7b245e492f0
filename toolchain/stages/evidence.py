"""Evidence: whether the data can prove anything about the float model, asked before any work is done with it."""

from __future__ import annotations

import json
from pathlib import Path

from toolchain.agent.measure.gates.metric import DEFAULT_DROP_SHARE
from toolchain.data.proof import warn_of_resolution
from toolchain.run.cache import Entry
from toolchain.stages.float_model import (
    examine_data,
    examine_neighbours,
    judge_model,
    judges_classes,
    open_imported,
    open_module,
)
from toolchain.stages.run import Run, write_json

_DOCUMENT = "evidence.json"


def evidence(run: Run, weights: Path | None, imported: Entry | None) -> list[str]:
    """Return what weakens a verdict on this data, one sentence each; the reports print them as warnings.

    weights: of the float module. imported: the entry of the recipe's own ONNX file, where there are none.

    Raises ToolchainError: exit 2 for targets that a metric lacks, for labels that are none of the model's outputs, for arrays that
    are not the model's inputs, for an ONNX file that mixes the samples of a batch, and for a float model that is not proven to be better than chance; exit 20 for
    evaluation samples on which any model looks right.
    """
    run.take_targets()
    inputs = {
        **run.identify_code(__name__, *run.metric_members, libraries=("torchvision",)),
        "metric": run.describe_metric(),
        # Of a metric over class labels it is asked below, of others as the model is judged.
        **({} if judges_classes(run) else {"metric_drop_max": run.recipe.gates.metric_drop_max}),
        "evaluation": [run.data.evaluation.sha256, run.count_evaluation()],
        **run.identify_calibration(run.recipe.data.calibration_samples),
        **({} if weights is None else run.identify_model(weights)),
        **run.identify_input(),
        "imported": None if imported is None else imported.sha256,
    }

    def build(folder: Path) -> None:
        if weights is not None:
            from toolchain.stages.module import load_model

            model = open_module(run, load_model(run, weights))
        elif imported is not None:
            model = open_imported(run, imported)
        else:
            raise TypeError("a model is weights or an ONNX file")
        warnings = examine_data(run, model)
        warnings += [] if imported is None else examine_neighbours(run, imported)
        if run.metric_name is not None:
            warnings += judge_model(run, model)
        write_json(folder / _DOCUMENT, {"warnings": warnings})

    entry = run.stage("evidence", inputs, build)
    warnings: list[str] = json.loads((entry.folder / _DOCUMENT).read_text(encoding="utf-8"))["warnings"]
    if not judges_classes(run):
        return warnings
    limit = run.recipe.gates.metric_drop_max
    drop_max = DEFAULT_DROP_SHARE if limit is None else limit
    return [*warnings, *warn_of_resolution(run.count_evaluation(), drop_max)]
