"""Texts of a few words in one of seven languages, letter by letter: short texts are padded, and a mask says what counts.

The words are those of BIP-39, 2,048 in each language; those of the test are in no text of the training.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.agent.measure.preprocess.tokenize import Tokenizer
from toolchain.agent.measure.targets import LABELS
from toolchain.agent.text import CHARACTERS, PADDING, UNKNOWN, TextSpec
from toolchain.data.dataset import Dataset, hash_files
from toolchain.data.made import MadeSamples
from toolchain.errors import ExitCode, malformed
from toolchain.project.toml_file import Section, check_table

FILE = Path(__file__).with_name("language_words.txt")
"""A line for each language: its name, and its words."""
LENGTH = 64
"""Letters of the longest text, spaces with them."""
WORDS = (5, 9)
"""The fewest and the most of a text."""
LETTERS = " abcdefghijklmnopqrstuvwxyzàáâãäæçèéêëìíîïñòóôõöùúûüýčďěğıňœřşšťůž"
"""Token n is letter n - 2; 0 is padding and 1 any other letter. models/language/letters.txt has the same for the board."""

_TEST_SHARE = 5  # one word of so many is the test's alone


class Options(Section):
    """How many texts each part has."""

    train_samples: Annotated[int, Field(ge=16)] = 14_000
    test_samples: Annotated[int, Field(ge=16)] = 2_100


def load(options: Mapping[str, Any]) -> Dataset:
    """Return texts as tokens, int64 `(N, 64)`, and a mask, float32 `(N, 64)`, 1 where there is a letter."""
    chosen = check_table(Options, options, what="the options of language_words", where="data.options")
    words = _read_words(FILE)
    train = _make_part("train", chosen.train_samples, words)
    return Dataset(
        name="language_words",
        train=train,
        calibration=train,
        evaluation=_make_part("test", chosen.test_samples, words),
        classes=tuple(words),
        licence="MIT, Copyright (c) 2013-2016 Pavol Rusnak",
    )


def number_letters(text: str) -> dict[str, NDArray[Any]]:
    """Return the tokens and the mask of a text; of a longer one, those of its first 64 letters."""
    inputs = _open_tokenizer().tokenize([text], "tokens")
    return {"tokens": inputs["tokens"][0], "mask": inputs["mask"][0].astype(np.float32)}


@functools.cache
def _open_tokenizer() -> Tokenizer:
    spec = TextSpec(
        tokenizer=CHARACTERS,
        file="letters.txt",
        length=LENGTH,
        lowercase=False,
        strip_accents=False,
        split_cjk=False,
        special_in_text=False,
        tables=None,
        mask="mask",
        types=None,
    )
    vocabulary = "".join(f"{token}\n" for token in (PADDING, UNKNOWN, *LETTERS)).encode()
    return Tokenizer(spec, vocabulary, where=__name__, code=ExitCode.UNEXPECTED)


def _make_part(part: str, count: int, words: Mapping[str, Sequence[str]]) -> MadeSamples:
    own = [[word for word in some if _is_for_test(word) == (part == "test")] for some in words.values()]

    def write(index: int) -> str:
        rng = np.random.default_rng([zlib.crc32(part.encode()), index])
        some = own[index % len(own)]  # by turns, so that any first n are balanced
        count = rng.integers(WORDS[0], WORDS[1] + 1)
        return " ".join(some[number] for number in rng.integers(len(some), size=count))

    return MadeSamples(
        count=count,
        make=lambda index: number_letters(write(index)),
        read_text=write,
        targets={LABELS: np.arange(count, dtype=np.int64) % len(own)},
        sha256=hash_files(f"language_words {part} {count}: numpy {np.__version__}", [Path(__file__), FILE]),
    )


def _is_for_test(word: str) -> bool:
    """Return whether a word is kept from the training: by its letters, so that it is in every language."""
    return zlib.crc32(word.encode()) % _TEST_SHARE == 0


def _read_words(path: Path) -> dict[str, list[str]]:
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    words = {line[0]: line[1:] for line in lines if line}
    if len(words) < 2 or any(len(some) != 2048 for some in words.values()):
        raise malformed(
            "the word lists are not those that the toolchain brings",
            where=str(path),
            expected="a line for each language: its name and 2048 words",
            found=", ".join(f"{name} {len(some)}" for name, some in words.items()) or "nothing",
            fix="install the toolchain again, which brings this file",
        )
    return words
