"""The recipe's PyTorch module, as the stages that run it load it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.module.builder import build_model
from toolchain.module.lazy import materialize
from toolchain.module.weights import load_weights

if TYPE_CHECKING:
    from torch import nn

    from toolchain.module.structure import Edit
    from toolchain.stages.run import Run


def load_compressed(run: Run, weights: Path) -> tuple[nn.Module, list[Edit]]:
    """Return the recipe's module with these weights, in evaluation mode, and how it differs from its builder's."""
    model = build_model(run.recipe)
    materialize(model, run.data.calibration.batch(0, 1))
    edits = load_weights(model, weights)
    return model.eval(), edits


def load_model(run: Run, weights: Path) -> nn.Module:
    """Return what is deployed: the recipe's module with these weights, its learned ranges at work."""
    model, edits = load_compressed(run, weights)
    if not any(edit.edit == "range" for edit in edits):
        return model  # what follows takes seconds to import
    from toolchain.compress.quantization.range_markers import insert_learned_ranges

    return insert_learned_ranges(model, edits)
