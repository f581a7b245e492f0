"""The recipe that `init` writes: what is known as keys, what is guessed as keys that say so, the rest as comments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tomli_w

from toolchain.agent.printable import escape_line
from toolchain.begin.guess_task import Guess

SCHEMA = "recipe.schema.json"
"""Lies in models/: editors with taplo read it by the first line."""


@dataclass(frozen=True, kw_only=True)
class RecipeParts:
    """What a recipe is made of."""

    source: str
    """Where the model comes from, for people."""
    model: Mapping[str, object]
    data: Mapping[str, object]
    """The options of the data set npz."""
    guess: Guess
    tensors: tuple[str, ...]
    """Inputs and outputs in words."""
    can_train: bool
    text: tuple[str, ...] = ()
    """[input] of a model that reads tokens, line by line."""


def write_recipe(parts: RecipeParts) -> str:
    """Return the text of a recipe; with no metric where the data have nothing that it could be judged by."""
    lines = [
        f"#:schema ../{SCHEMA}",
        f"# Written by `toolchain init` from {escape_line(parts.source)}. Every key: `toolchain schema --page`.",
        *(f"# {escape_line(each)}" for each in parts.tensors),
        "",
        "[model]",
        *_write(parts.model),
        "",
        "[data]                               # real samples: random ones prove nothing",
        'name = "npz"                         # or another data set: `toolchain doctor` lists them',
        *_write({"options": dict(parts.data)}, inline=True),
        *_write_metric(parts.guess),
        "",
        *_write_task(parts.guess),
        *parts.text,
        "",
        "[gates]                              # what is not set has a default",
        "# metric_drop_max = 0.01             # against the float model, in the metric's unit",
        "# drift_sqnr_db_min = 20.0           # without a metric: of every output, against the model that you brought",
        "# latency_p90_ms_max = 5.0",
        "# size_bytes_max = 1000000",
        "# memory_peak_mb_max = 200           # of a process that loads the artifact and runs it",
        "# start_ms_max = 1000                # from the start of such a process to its first answer",
    ]
    if parts.can_train:
        lines += [
            "",
            "# [train]                            # `toolchain train`, where there are no weights yet",
            "# epochs = 8",
            "",
            "# [[compress]]                       # `toolchain methods` lists them",
            '# method = "structured_pruning"',
            "# macs_ratio = 0.5",
        ]
    return "\n".join(lines) + "\n"


def _write_metric(guess: Guess) -> list[str]:
    if guess.has_targets:
        return []
    return [
        'metric = "none"                      # no labels in the data yet: drift from the float model judges. With some, remove this'
    ]


def _write_task(guess: Guess) -> list[str]:
    head = f"# A guess: {escape_line(guess.because)}."
    if guess.task is None:
        return [head, "# [task]", '# name = "classification"             # or detection, segmentation, regression, …']
    mark = "" if guess.has_targets else "# "
    return [head, f"{mark}[task]", f'{mark}name = "{guess.task}"']


def _write(table: Mapping[str, object], *, inline: bool = False) -> list[str]:
    if not inline:
        return tomli_w.dumps(dict(table)).splitlines()
    lines = []
    for key, value in table.items():
        inner = ", ".join(tomli_w.dumps({name: item}).strip() for name, item in dict(value).items())  # type: ignore[call-overload]
        lines.append(f"{key} = {{ {inner} }}")
    return lines
