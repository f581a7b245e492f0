"""A part of spoken_words that lies in this folder, so that a deploy needs no espeak-ng.

48 words of voices that are learnt from, for calibration, and 240 of twenty others for evaluation: each several times, in noise
of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from toolchain.data.dataset import Dataset, hash_files
from toolchain.data.made import MadeSamples
from toolchain.data.spoken_words import LICENCE, WORDS, make_samples
from toolchain.errors import malformed
from toolchain.project.npz_file import read_arrays
from toolchain.project.toml_file import Section, check_table

FILE = Path(__file__).with_name("spoken_words_small.npz")
"""Made by `python -m toolchain.data.make_spoken_words_small`: the bytes of all words of a part, and where each begins."""

_CODE = tuple(FILE.with_name(f"{name}.py") for name in ("spoken_words", "telephone"))


class Options(Section):
    """How many sounds there are."""

    times: Annotated[int, Field(ge=1, le=100)] = 5
    """Each word is heard so often, in another noise each time: of twenty voices there are twenty kinds of mistakes."""


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the sounds as spoken_words does; there is nothing to learn from."""
    chosen = check_table(Options, options, what="the options of spoken_words_small", where="data.options")
    arrays = read_arrays(FILE)

    def take_part(part: str) -> MadeSamples:
        try:
            words, offsets = arrays[f"{part}_words"], arrays[f"{part}_offsets"]
        except KeyError as error:
            raise malformed(
                "an array is missing",
                where=str(FILE),
                expected=str(error),
                fix="install the toolchain again, which brings this file",
            ) from error
        count = len(offsets) - 1
        return make_samples(
            part,
            chosen.times * count,
            lambda index: words[offsets[index % count] : offsets[index % count + 1]],
            hash_files(f"spoken_words_small {part} {chosen.times}: numpy {np.__version__}", [*_CODE, FILE]),
        )

    return Dataset(
        name="spoken_words_small",
        train=None,
        calibration=take_part("calibration"),
        evaluation=take_part("evaluation"),
        classes=WORDS,
        licence=LICENCE,
    )
