"""Texts of CTC scores (Graves et al. 2006): the best letter of each step, repeats as one, blanks left out.

Of equal scores the first counts. A step with a NaN reads U+FFFD, which no text has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence

import numpy as np

from ..outputs import choose_largest, list_first, read_output
from ..targets import Ragged
from . import Arrays, Decoded, Decoder

OUTPUTS = ("text",)
_BROKEN = "\ufffd"


@dataclass(frozen=True)
class Options:
    """What the classes mean."""

    alphabet: str
    """The letter of each class in their order, without the blank."""
    blank: int = 0
    """The class that is no letter."""
    output: Optional[str] = None
    """Scores (n, steps, classes); none is the first output."""
    steps_first: bool = False
    """Whether they are (steps, n, classes), as PyTorch's CTC loss has them."""

    def __post_init__(self) -> None:
        if not self.alphabet or len(set(self.alphabet)) != len(self.alphabet):
            message = "an alphabet with each letter once"
            raise ValueError(message)
        if not 0 <= self.blank <= len(self.alphabet):
            message = f"a blank from 0 to {len(self.alphabet)}"
            raise ValueError(message)


class _Greedy:
    def __init__(self, options: Options) -> None:
        self._options = options
        letters = [*options.alphabet[: options.blank], "", *options.alphabet[options.blank :], _BROKEN]
        # The last is what -1 reads.
        self._letters = [letter.encode("utf-8", errors="replace") for letter in letters]

    def list_read(self, outputs: Sequence[str]) -> Sequence[str]:
        return list_first(outputs, self._options.output)

    def list_letters(self) -> str:
        return self._options.alphabet

    def decode(self, outputs: Arrays, inputs: Arrays) -> Decoded:  # noqa: ARG002 - of outputs alone
        classes = len(self._options.alphabet) + 1
        scores = read_output("ctc_greedy", outputs, self._options.output, (None, None, classes))
        steps = choose_largest(scores.transpose(1, 0, 2) if self._options.steps_first else scores, axis=2, broken=-1)
        new = np.ones(steps.shape, bool)
        new[:, 1:] = steps[:, 1:] != steps[:, :-1]
        texts = [b"".join(self._letters[step] for step in row[kept]) for row, kept in zip(steps, new)]  # noqa: B905 - Python 3.8
        values = np.frombuffer(b"".join(texts), np.uint8)
        return {"text": Ragged(values=values, offsets=np.cumsum([0, *map(len, texts)], dtype=np.int64))}


def start(options: Options) -> Decoder:
    """Return the decoder."""
    return _Greedy(options)
