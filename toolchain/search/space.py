"""What a search may choose from: the steps of a recipe's [search], and what a trial draws from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic import Field, JsonValue

from toolchain.compress import read_entry
from toolchain.errors import usage
from toolchain.project.members import list_members
from toolchain.project.recipe import Recipe, SearchSection, SearchStep, TrainSection
from toolchain.project.seams import METHODS
from toolchain.project.toml_file import Section, check_table

NONE = "none"
"""What a step is called that a trial leaves out."""


class Range(Section):
    """Numbers from low to high, both included; whole ones where both are."""

    low: float | int
    high: float | int
    step: float | int | None = None
    log: bool = False


class Choices(Section):
    """Values to choose from."""

    choices: list[JsonValue] = Field(min_length=1)


class Chooser(Protocol):
    """What draws values: an Optuna trial, or a corner of the space."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return a whole number of the range."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number of the range."""


def list_steps(recipe: Recipe) -> list[SearchStep]:
    """Return the recipe's steps, checked, or the default ones.

    Raises ToolchainError (exit 2): a range without numbers, two steps of one name, an entry that no method takes.
    """
    section = recipe.search or SearchSection()
    steps = section.steps or _suggest_steps(recipe)
    where = f"{recipe.path}: search.steps"
    names = [step.name for step in steps]
    for name in names:
        if names.count(name) > 1:
            raise usage(
                "two steps have one name", where=where, expected="a name each", found=name, fix="rename one of them"
            )
    for step in steps:
        for index, alternative in enumerate(step.alternatives):
            place = f"{where}: {step.name}.alternatives[{index}]"
            for corner in (_Corner(last=False), _Corner(last=True)):
                read_entry(_draw_table(corner, alternative, name="", where=place), place)
    return steps


def draw_entries(chooser: Chooser, steps: Sequence[SearchStep], *, where: str) -> list[dict[str, JsonValue]]:
    """Return the entries of [[compress]] that a trial draws, in the order of the steps."""
    entries: list[dict[str, JsonValue]] = []
    for step in steps:
        alternatives = _name_alternatives(step)
        names = [*([NONE] if step.optional else []), *alternatives]
        chosen = chooser.suggest_categorical(step.name, names)
        if chosen != NONE:
            entries.append(_draw_table(chooser, alternatives[chosen], name=f"{step.name}.{chosen}", where=where))
    return entries


def _name_alternatives(step: SearchStep) -> dict[str, dict[str, JsonValue]]:
    """Return the alternatives by their method, with a number where one method stands there twice."""
    named: dict[str, dict[str, JsonValue]] = {}
    for alternative in step.alternatives:
        method = str(alternative.get("method"))
        count = sum(name.partition("#")[0] == method for name in named)
        named[f"{method}#{count + 1}" if count else method] = alternative
    return named


def _draw_table(chooser: Chooser, table: Mapping[str, JsonValue], *, name: str, where: str) -> dict[str, JsonValue]:
    return {key: _draw(chooser, value, name=f"{name}.{key}", where=where) for key, value in table.items()}


def _draw(chooser: Chooser, value: JsonValue, *, name: str, where: str) -> JsonValue:
    if not isinstance(value, dict):
        return value
    if value.keys() == {"choices"}:
        choices = check_table(Choices, value, what="the choices", where=f"{where}{name}").choices
        # By position: an Optuna storage holds plain values alone, and a choice may be a table.
        drawn: JsonValue = choices[chooser.suggest_categorical(name, list(range(len(choices))))]
        return drawn
    if {"low", "high"} <= value.keys() <= Range.model_fields.keys():
        return _draw_number(chooser, value, name=name, where=where)
    return _draw_table(chooser, value, name=name, where=where)


def _draw_number(chooser: Chooser, value: Mapping[str, JsonValue], *, name: str, where: str) -> int | float:
    numbers = check_table(Range, value, what="the range", where=f"{where}{name}")
    low, high, step = numbers.low, numbers.high, numbers.step
    if low > high or (step is not None and (step <= 0 or numbers.log)) or (numbers.log and low <= 0):
        raise usage(
            "the range holds no numbers",
            where=f"{where}{name}",
            expected="low <= high, a step above 0, and log only without a step and above 0",
            found=str(dict(value)),
            fix="correct the range",
        )
    if isinstance(low, int) and isinstance(high, int) and not isinstance(step, float):
        return chooser.suggest_int(name, low, high, step=step or 1, log=numbers.log)
    drawn = chooser.suggest_float(name, float(low), float(high), step=step, log=numbers.log)
    return drawn if step is None else round(drawn, 12)  # 0.1 + 2 * 0.1 is 0.30000000000000004


class _Corner:
    """Draws the first or the last value of everything."""

    def __init__(self, *, last: bool) -> None:
        self._last = last

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:  # noqa: ARG002 - Optuna's signature
        return choices[-1 if self._last else 0]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:  # noqa: ARG002
        return high if self._last else low

    def suggest_float(
        self,
        name: str,  # noqa: ARG002
        low: float,
        high: float,
        *,
        step: float | None = None,  # noqa: ARG002
        log: bool = False,  # noqa: ARG002
    ) -> float:
        return high if self._last else low


def _suggest_finetune(train: TrainSection) -> JsonValue:
    """Return two epochs by the optimizer that the weights were made by: one's rates are ten times another's."""
    return {
        "epochs": 2,
        "learning_rate": train.learning_rate / 5,
        "optimizer": train.optimizer,
        "batch_size": train.batch_size,
        "weight_decay": train.weight_decay,
    }


def _suggest_steps(recipe: Recipe) -> list[SearchStep]:
    """Return the steps for a recipe that names none: prune, or not; then fewer bits for each weight, or not.

    Steps between the values let trials meet again in the cache.
    """
    finetune = {} if recipe.train is None else {"finetune": _suggest_finetune(recipe.train)}
    pruning: list[dict[str, JsonValue]] = [
        {"method": "structured_pruning", "macs_ratio": {"low": 0.2, "high": 0.8, "step": 0.1}, **finetune},
        {"method": "magnitude_pruning", "amount": {"low": 0.3, "high": 0.9, "step": 0.1}, **finetune},
    ]
    weights: list[dict[str, JsonValue]] = [
        {"method": "kmeans_quantization", "bits": {"low": 3, "high": 6}},
        {"method": "linear_quantization", "bits": {"low": 4, "high": 8}},
    ]
    known = list_members(METHODS)
    steps = []
    for name, alternatives in (("pruning", pruning), ("weights", weights)):
        if there := [entry for entry in alternatives if entry["method"] in known]:
            steps.append(SearchStep(name=name, alternatives=there))
    return steps
