"""Whether [input] makes of texts the tokens that the model was trained with: asked of the data's own loader, and of the training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.data.dataset import find_text_reader, name_sample
from toolchain.data.texts import check_tokens
from toolchain.errors import ToolchainError, first_line, usage
from toolchain.project.text_section import ReadText
from toolchain.stages.run import PARITY_SAMPLES, Run

_UNPROVEN = (
    "nothing but the metric shows that the model was trained with these tokens: data and [input] say the same tokenizer, and "
    "the weights say none. Name in input.prepared some tokens of your own code"
)


def prove_text(run: Run, text: ReadText) -> list[str]:
    """Refuse (exit 2) a tokenizer that is not the one of the data, of the training or of the user's own code.

    Return what is not proven.
    """
    for part in ("calibration", "evaluation"):
        samples = getattr(run.data, part)
        count = min(PARITY_SAMPLES, len(samples))
        prove_tokens(run, text, part, range(count), samples.batch(0, count))
    is_known = _check_training(run, text)
    section = run.recipe.input
    if section is not None and section.prepared is not None:
        _check_prepared(run, text, run.recipe.folder / section.prepared)
    elif run.data.tokenizer_sha256 is not None and not is_known:
        return [_UNPROVEN]
    return []


def prove_tokens(run: Run, text: ReadText, part: str, indices: range, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse (exit 2) samples of a part whose tokens, as its own loader has them, are not those of [input]."""
    samples = getattr(run.data, part)
    read = find_text_reader(samples)
    if read is None:
        raise TypeError("texts are read")
    names = [name_sample(samples, index) for index in indices]
    texts = [read(index) for index in indices]
    check_tokens(arrays, texts, text, where=f"[input] and {run.name_data()}: {part}", names=names)


def _check_training(run: Run, text: ReadText) -> bool:
    """Return whether the training wrote down its tokenizer, which is then this one; raises ToolchainError (exit 2) for another."""
    weights = run.recipe.model.weights
    if weights is None:
        return False
    record = (run.recipe.folder / weights).with_suffix(".json")
    try:
        trained = json.loads(record.read_bytes())["data"]["tokenizer_sha256"]
    except (OSError, ValueError, LookupError, TypeError):  # weights of somebody else's, or of an older training
        return False
    if trained is not None and trained != text.sha256:
        raise usage(
            "the model was trained with another tokenizer",
            where=f"{record}: data.tokenizer_sha256, and [input]",
            expected=str(trained),
            found=text.sha256,
            fix="take the tokenizer's file and settings as they were at the training, or train again",
        )
    return trained is not None


def _check_prepared(run: Run, text: ReadText, path: Path) -> None:
    from toolchain.project.npz_file import read_arrays

    prepared = read_arrays(path)
    if prepared.keys() != set(text.inputs) or len({len(array) if array.ndim else 0 for array in prepared.values()}) > 1:
        raise usage(
            "the file has other arrays than the model's inputs",
            where=f"input.prepared, {path}",
            expected=f"{', '.join(text.inputs)}, of the first evaluation samples each",
            found=", ".join(f"{name} {array.shape}" for name, array in prepared.items()) or "none",
            fix="write it with numpy.savez, an array for each input under its name",
        )
    count = min(len(next(iter(prepared.values()))), run.count_evaluation())
    if count == 0:
        raise usage(
            "the file has no samples",
            where=f"input.prepared, {path}",
            expected="the first evaluation samples as your own code tokenizes them",
            found="none",
            fix="prepare some: what is held against nothing agrees with everything",
        )
    first = {name: array[:count] for name, array in prepared.items()}
    read = find_text_reader(run.data.evaluation)
    texts = [] if read is None else [read(index) for index in range(count)]
    names = [name_sample(run.data.evaluation, index) for index in range(count)]
    check_tokens(first, texts, text, where=f"[input] and {path}", names=names)


def prove_rows(run: Run, answer: Callable[[Mapping[str, NDArray[Any]]], object]) -> None:
    """Refuse (exit 2) a tokenizer whose last token is beyond the rows that the model has; answer: what runs it on (1, length)."""
    text = run.text
    if text is None:
        return
    arrays = run.data.evaluation.batch(0, 1)
    answer(arrays)  # what is wrong with any text is told as it is
    last = text.tokenizer.size - 1
    try:
        answer({**arrays, text.ids: np.full_like(arrays[text.ids], last)})
    except ToolchainError as error:
        raise usage(
            "the tokenizer has more tokens than the model has rows for",
            where=f"[input] and the model's input {text.ids}",
            expected=f"a model that takes each of the numbers 0 to {last}",
            found=first_line(error),
            fix="name the vocabulary that the model was trained with, or build the model with as many rows",
        ) from error
