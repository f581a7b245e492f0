"""Edits that turn one text into another (Levenshtein 1966), and the texts of samples."""

from __future__ import annotations

from typing import Iterator, Sequence, Tuple

import numpy as np

from ...errors import ExitCode, ToolchainError
from ..metrics import Outputs, Targets, take_output, take_target
from ..parts import expect_ragged, expect_samples, refuse_part
from ..targets import TEXT

LETTERS_MAX = 10_000
"""The longest text: the work of its edits grows with the square, and what a model returns must not make it endless."""


def read_texts(name: str, outputs: Outputs, targets: Targets) -> Iterator[Tuple[str, str]]:
    """Yield what should have come out and what did, without white space around, of each sample.

    What is no UTF-8 in an output counts as wrong letters. Raises ToolchainError (exit 23).
    """
    where = f"targets: {TEXT}"
    truth = expect_ragged(name, take_target(name, targets, TEXT), where, (None,), "u")
    found = expect_ragged(name, take_output(name, outputs, TEXT, "ctc_greedy"), f"the output {TEXT}", (None,), "u")
    expect_samples(name, found, len(truth), f"the output {TEXT}")
    for kind, rows in ((where, truth), (f"the output {TEXT}", found)):
        if rows.values.dtype != np.uint8:
            raise refuse_part(name, kind, expected="uint8", found=str(rows.values.dtype))
        longest = int(np.diff(rows.offsets).max()) if len(rows) else 0
        if longest > LETTERS_MAX:
            raise refuse_part(name, kind, expected=f"texts of at most {LETTERS_MAX} bytes", found=f"one of {longest}")
    for index in range(len(truth)):
        try:
            wanted = truth.read(index).tobytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise ToolchainError(
                ExitCode.MALFORMED,
                f"{name} cannot read a text",
                where=f"{where}: sample {index}",
                expected="UTF-8",
                found=str(error),
                fix="write the texts again as UTF-8",
            ) from error
        yield wanted.strip(), found.read(index).tobytes().decode("utf-8", errors="replace").strip()


def count_edits(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the fewest insertions, deletions and substitutions that turn one sequence into the other."""
    numbers = {item: number for number, item in enumerate({*first, *second})}
    rows, columns = (np.array([numbers[item] for item in items], dtype=np.int64) for items in (first, second))
    steps = np.arange(len(columns) + 1)
    edits = steps.copy()
    for number, row in enumerate(rows, start=1):
        found = np.minimum(edits[1:] + 1, edits[:-1] + (columns != row))
        # Insertions go along the row: the smallest of what stands to the left, and one more for each step from there.
        edits = np.minimum.accumulate(np.concatenate([[number], found]) - steps) + steps
    return int(edits[-1])
