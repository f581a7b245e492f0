"""A data set of texts in both forms: as its own loader makes tokens of them, and as [input] does; both have to be the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.targets import TargetArray
from toolchain.agent.text import WORDPIECE
from toolchain.data.dataset import Dataset, Samples, find_text_reader, name_sample
from toolchain.data.sensor import Sensed
from toolchain.errors import ToolchainError, usage
from toolchain.project.text_section import ReadText, change_text

_SHOWN = 40


@dataclass(frozen=True)
class TokenizedSamples:
    """A part of a data set as [input] makes tokens of its texts."""

    samples: Samples
    text: ReadText
    read_text: Callable[[int], str]
    dtypes: Mapping[str, np.dtype[Any]]
    """Of the inputs, as the part's own loader has them."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def targets(self) -> Mapping[str, TargetArray]:
        """What a model should answer, by name."""
        return self.samples.targets

    @cached_property
    def sha256(self) -> str:
        """Of the content, and of the tokenizer."""
        return hashlib.sha256(f"{self.samples.sha256} {self.text.sha256} {self.text.inputs}".encode()).hexdigest()

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the samples start to stop."""
        texts = [self.read_text(index) for index in range(start, min(stop, len(self)))]
        made = self.text.tokenizer.tokenize(texts, self.text.ids)
        return {name: made[name].astype(dtype) for name, dtype in self.dtypes.items()}

    def name_sample(self, index: int) -> str:
        """Return what a sample is called in the part."""
        return name_sample(self.samples, index)


def sense_texts(data: Dataset, text: ReadText, *, where: str) -> Sensed:
    """Return a data set in both forms; raises ToolchainError (exit 2) where it has no texts, or other inputs than the tokenizer."""
    calibration, evaluation = (_sense(part, text, where) for part in (data.calibration, data.evaluation))
    sensor = replace(data, train=None, calibration=calibration, evaluation=evaluation)
    return Sensed(data, sensor, sensor, is_reframed=False, is_independent=True)


def _sense(samples: Samples, text: ReadText, where: str) -> TokenizedSamples:
    read = find_text_reader(samples)
    if read is None:
        raise usage(
            "the data have no texts: nothing shows that [input] makes the tokens that the model was trained with",
            where=f"[input] and {where}",
            expected="the texts beside their tokens",
            found="tokens alone" if samples.batch(0, 1) else "nothing",
            fix="add an array of strings called text to the .npz, name the data set csv_text, or give yours a read_text",
        )
    own = samples.batch(0, 1)
    if own.keys() != set(text.inputs):
        raise usage(
            "the model's inputs are not those that the tokenizer makes",
            where=f"[input] and {where}",
            expected=", ".join(sorted(own)),
            found=", ".join(sorted(text.inputs)),
            fix="name them in ids, mask and types of input.text; what no tokenizer makes, put into the model",
        )
    for name, kinds in text.spec.list_inputs(text.ids).items():
        array = own[name]
        if array.shape[1:] != (text.spec.length,) or str(array.dtype) not in kinds:
            raise usage(
                "the tokens of the data have another length or type",
                where=f"[input] and {where}: {name}",
                expected=f"{' or '.join(kinds)} of shape (samples, {text.spec.length})",
                found=f"{array.dtype} of shape {('samples', *array.shape[1:])}",
                fix="correct input.text.length, or the length of the data",
            )
    return TokenizedSamples(samples, text, read, {name: own[name].dtype for name in text.inputs})


def check_tokens(
    prepared: Mapping[str, NDArray[Any]], texts: Sequence[str], text: ReadText, *, where: str, names: Sequence[str]
) -> None:
    """Refuse (exit 2) texts of which [input] makes other tokens than somebody else did.

    prepared: their arrays (n, length) by input; names: what the samples are called.
    """
    made = text.tokenizer.tokenize(texts, text.ids)
    for name, expected in prepared.items():
        found = made[name]
        if expected.shape != found.shape:
            raise _differ(f"{where}: {name}", str(expected.shape), str(found.shape), _FIX)
        rows = np.flatnonzero((expected != found).any(axis=1))
        if len(rows):
            row = int(rows[0])
            place = int(np.flatnonzero(expected[row] != found[row])[0])
            change = _find_change(prepared, texts, text)
            fix = _FIX if change is None else f"they agree with {change}: write that into input.text"
            at = f"{where}: {names[row]} ({texts[row][:_SHOWN]!a}), {name}, token {place}"
            raise _differ(at, str(expected[row, place]), str(found[row, place]), fix)


_FIX = "name the file, the length and the settings that the training's tokenizer had"


def _differ(where: str, expected: str, found: str, fix: str) -> ToolchainError:
    return usage(
        "[input] makes other tokens of a text than the model is trained and measured with",
        where=where,
        expected=expected,
        found=found,
        fix=fix,
    )


def _find_change(prepared: Mapping[str, NDArray[Any]], texts: Sequence[str], text: ReadText) -> str | None:
    """Return the one setting after which both agree, of those that are often mixed up; None where there is none."""
    spec = text.spec
    if spec.tokenizer != WORDPIECE:
        return None
    for key in ("lowercase", "strip_accents", "split_cjk", "special_in_text"):
        changes = {key: not getattr(spec, key)}
        if key == "lowercase":
            changes["strip_accents"] = changes["lowercase"]
        other = change_text(text, **changes)
        made = other.tokenizer.tokenize(texts, other.ids)
        if all(np.array_equal(made[name], array) for name, array in prepared.items()):
            return ", ".join(f"{name} = {str(value).lower()}" for name, value in changes.items())
    return None
