"""Transcription: a text for each sample, without saying where its letters stand, by CTC.

Connectionist temporal classification, Graves et al. 2006 (ICML).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from toolchain.agent.measure.targets import Ragged
from toolchain.data.dataset import Samples, name_sample
from toolchain.errors import usage
from toolchain.project.toml_file import Section
from toolchain.tasks.outputs import refuse_first, take_first

if TYPE_CHECKING:
    from torch import Tensor

    from toolchain.tasks import TargetTensor, TaskLoss

SUMMARY = "a text for each sample"
METRIC = "cer"
TEXT = "text"
TARGETS = (TEXT,)
DECODER = "ctc_greedy"
CLASS_AXIS = 2
MOVES = None


class Options(Section):
    """What the scores are of."""

    alphabet: str
    """The letters, in the order of the scores after the blank's."""
    blank: Annotated[int, Field(ge=0)] = 0
    """Which score says "no letter here"; those behind it are one further."""


def describe_decoder(options: Options) -> dict[str, Any]:
    """Return the options of the decoder."""
    return {"alphabet": options.alphabet, "blank": options.blank}


def make_loss(options: Options) -> TaskLoss:
    """Return the mean CTC loss of the first output, scores `(N, steps, 1 + letters)`, against UTF-8 texts."""
    import torch
    import torch.nn.functional as F

    numbers = number_letters(options)

    def loss(outputs: Mapping[str, Tensor], targets: Mapping[str, TargetTensor]) -> Tensor:
        _, scores = take_first(outputs)
        texts = [read_text(text.cpu().numpy()) for text in targets[TEXT]]
        lengths = torch.tensor([len(text) for text in texts])
        letters = torch.tensor([numbers[letter] for text in texts for letter in text])
        steps = torch.full((len(texts),), scores.shape[1])
        return F.ctc_loss(
            scores.float().log_softmax(dim=2).transpose(0, 1),
            letters,
            steps,
            lengths,
            blank=options.blank,
            zero_infinity=True,  # a text that is longer than the steps teaches nothing
        )

    return loss


def _explain_unknown(text: str, numbers: Mapping[str, int]) -> str:
    """Return what to do about a letter that the alphabet lacks: é may be written as one letter, or as e and an accent."""
    for form in ("NFC", "NFD"):
        if all(letter in numbers for letter in unicodedata.normalize(form, text)):
            return f"write the texts in Unicode's form {form}, which the alphabet has: unicodedata.normalize({form!r}, text)"
    return "add the letter to task.options.alphabet and to the model, or leave the sample out"


def number_letters(options: Options) -> dict[str, int]:
    """Return the score of each letter; raises ToolchainError (exit 2) where one stands twice."""
    if len(set(options.alphabet)) < len(options.alphabet):
        twice = next(letter for letter in options.alphabet if options.alphabet.count(letter) > 1)
        raise usage(
            "a letter stands twice in the alphabet",
            where="task.options.alphabet",
            expected="every letter once",
            found=repr(twice),
            fix="remove one of the two",
        )
    return {letter: index + (index >= options.blank) for index, letter in enumerate(options.alphabet)}


def read_text(values: Any) -> str:
    """Return a text in the bytes of its UTF-8 `(n,)`; raises UnicodeDecodeError."""
    return bytes(values.astype("uint8")).decode()


def check(
    options: Options, outputs: Mapping[str, Any], samples: Samples, *, where: str, classes: Sequence[str] | None
) -> None:
    """Refuse (exit 2) an output that is no scores of steps, and texts that are none or longer than its steps."""
    del classes
    _, scores = take_first(outputs)
    texts = samples.targets[TEXT]
    numbers = number_letters(options)
    if scores.ndim != 3 or scores.shape[2] != 1 + len(numbers) or not isinstance(texts, Ragged):
        expected = f"(N, steps, {1 + len(numbers)}), the blank and {len(numbers)} letters, with a text for each sample"
        raise refuse_first("transcription", outputs, expected)
    for index in range(len(samples)):
        try:
            text = read_text(texts.read(index))
        except UnicodeDecodeError as error:
            raise usage(
                "a text is no UTF-8",
                where=f"{where}: {name_sample(samples, index)}",
                expected="the bytes of a text in UTF-8",
                found=str(error),
                fix="write the texts as UTF-8",
            ) from error
        if unknown := sorted(set(text) - numbers.keys()):
            raise usage(
                "a text has a letter that the alphabet lacks",
                where=f"{where}: {name_sample(samples, index)}",
                expected=f"letters of {options.alphabet!r}",
                found=f"{unknown[0]!r} in {text[:40]!r}",
                fix=_explain_unknown(text, numbers),
            )
        if len(text) > scores.shape[1]:
            raise usage(
                "a text is longer than what the model can say",
                where=f"{where}: {name_sample(samples, index)}",
                expected=f"at most {scores.shape[1]} letters, one a step",
                found=f"{len(text)}: {text[:40]!r}",
                fix="leave long samples out, or build a model with more steps",
            )
