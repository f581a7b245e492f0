"""The recipe's PyTorch module, as the stages that run it load it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toolchain.builder import build_model
from toolchain.recipe import Recipe
from toolchain.weights import load_weights

if TYPE_CHECKING:
    from torch import nn

    from toolchain.structure import Edit


def load_compressed(recipe: Recipe, weights: Path) -> tuple[nn.Module, list[Edit]]:
    """Return the recipe's module with these weights, in evaluation mode, and how it differs from its builder's."""
    model = build_model(recipe)
    edits = load_weights(model, weights)
    return model.eval(), edits


def load_model(recipe: Recipe, weights: Path) -> nn.Module:
    """Return what is deployed: the recipe's module with these weights, its learned ranges at work."""
    model, edits = load_compressed(recipe, weights)
    if not any(edit.edit == "range" for edit in edits):
        return model  # what follows takes seconds to import
    from toolchain.compress.range_markers import insert_learned_ranges

    return insert_learned_ranges(model, edits)
