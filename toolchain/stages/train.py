"""Train: weights for a model that has none yet."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import missing
from toolchain.stages.float_model import examine_data, open_module
from toolchain.stages.run import Run


def train(run: Run) -> Path | None:
    """Return the float weights, trained now where the recipe can and there are none; None for an ONNX file.

    Raises ToolchainError: exit 3 where there are no weights and no way to make them, 2 or 20 where the data cannot
    prove anything about them, 24 where training misses its gate.
    """
    recipe = run.recipe
    if recipe.model.weights is None:
        return None
    weights = recipe.folder / recipe.model.weights
    if weights.is_file():
        return weights
    if recipe.train is None:
        raise missing(
            f"{recipe.name} has no weights",
            where=str(weights),
            fix=f"toolchain convert CHECKPOINT --model {recipe.name}, or as the README beside the recipe says",
        )
    from toolchain.module.builder import build_model
    from toolchain.module.fit.show import show_training
    from toolchain.module.train import train_model

    # Asked again of the trained model; here, so that no training is spent on data that cannot be judged by.
    run.take_targets()
    examine_data(run, open_module(run, build_model(recipe)))
    with run.timed("train"):
        train_model(recipe, on_progress=show_training(run.progress))
    return weights
