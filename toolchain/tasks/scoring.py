"""How the models of a recipe are scored: by its metric, over what its decoder or its task's makes of the outputs."""

from __future__ import annotations

from typing import Any

from toolchain.agent.manifest import DecoderSpec, MetricSpec
from toolchain.agent.measure.scoring import Scoring, find_scoring
from toolchain.errors import ToolchainError
from toolchain.project.recipe import Recipe
from toolchain.tasks import check_options, find_task

_NONE = "none"
# It compares a model's first output with another model's, as they are.
_OF_RAW_OUTPUTS = "agreement"


def load_scoring(recipe: Recipe) -> Scoring | None:
    """Return how the recipe's models are scored; None where it asks for no metric.

    Raises ToolchainError (exit 2), by the key of the recipe: an unknown metric, decoder or option of either.
    """
    try:
        return find_scoring(describe_metric(recipe))
    except ToolchainError as error:
        raise _place(error, recipe) from error


def describe_metric(recipe: Recipe) -> MetricSpec:
    """Return the metric, its decoder and the options of both as a manifest has them, without a model's value."""
    name = recipe.metric_name
    return MetricSpec(
        name=name,
        reference=None,
        options=dict(recipe.task.metric_options),
        decoder=_choose_decoder(recipe, name),
        truth=recipe.task.truth,
    )


def _choose_decoder(recipe: Recipe, metric: str | None) -> DecoderSpec | None:
    section, named = recipe.output, recipe.decoder_name
    if named == _NONE:
        return None
    if named is not None:
        return DecoderSpec(name=named, options=dict(section.options))
    if metric is None:
        return None
    task = find_task(recipe.task.name, where=f"{recipe.path}: task.name")
    if task.DECODER is None or metric == _OF_RAW_OUTPUTS or recipe.task.loss is not None:
        return None
    options: Any = check_options(recipe.task.name, recipe.task.options, where=f"{recipe.path}: task.options")
    return DecoderSpec(name=task.DECODER, options={**section.options, **task.describe_decoder(options)})


def _place(error: ToolchainError, recipe: Recipe) -> ToolchainError:
    """Return the error with the recipe's own key in the place of the member's."""
    keys = {"metric options": "task.metric_options", "decoder options": "output.options", "decoder": "output.decode"}
    where = error.where or "metric"
    for member, key in keys.items():
        if where.startswith(member):
            where = key + where.removeprefix(member)
            break
    return ToolchainError(
        error.code,
        error.what,
        where=f"{recipe.path}: {where}",
        expected=error.expected,
        found=error.found,
        fix=error.fix,
    )
