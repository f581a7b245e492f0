"""The golden texts of a bundle, held against what this agent's tokenizer makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np

from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest
from ..text import TextPairs
from .golden import load_array
from .preprocess.text import feed_texts, open_tokenizer

_FIX = "write the bundle again, with this agent in it"
_SHOWN = 40


def read_texts(bundle_dir: Path, pairs: TextPairs) -> List[str]:
    """Return the golden texts; raises ToolchainError (exit 23) for what is none."""
    data, offsets = (np.array(load_array(bundle_dir, path)) for path in (pairs.utf8, pairs.offsets))
    fits = data.dtype == np.uint8 and data.ndim == 1 and offsets.dtype == np.int64 and offsets.ndim == 1
    if fits:
        ends = offsets.tolist()
        fits = len(ends) > 1 and ends[0] == 0 and ends[-1] == len(data) and sorted(ends) == ends
    try:
        if fits:
            return [data[ends[index] : ends[index + 1]].tobytes().decode("utf-8") for index in range(len(ends) - 1)]
        found = f"{data.dtype} {data.shape}, {offsets.dtype} {offsets.shape}"
    except UnicodeDecodeError as error:
        found = error.reason
    raise _refuse(
        ExitCode.MALFORMED, "the golden texts are none", pairs.utf8, "texts in UTF-8 and where they end", found
    )


def check_texts(bundle_dir: Path, manifest: Manifest) -> None:
    """Refuse (exit 18) texts of which this agent makes other tokens; none where no text feeds the payload.

    Raises ToolchainError (exit 23) for golden texts that are none.
    """
    tokenizer, spec, pairs = open_tokenizer(bundle_dir, manifest), manifest.input, manifest.golden.pairs.texts
    if tokenizer is None or spec is None or pairs is None:
        return
    texts = read_texts(bundle_dir, pairs)
    made = feed_texts(tokenizer, texts, spec, manifest.inputs)
    for name, path in sorted(pairs.inputs.items(), key=lambda item: item[0] != spec.name):  # the ids say most
        expected = np.array(load_array(bundle_dir, path))
        if expected.dtype != made[name].dtype or expected.shape != made[name].shape:
            found = f"{made[name].dtype} {made[name].shape}"
            raise _differ(path, f"{expected.dtype} {expected.shape}", found)
        rows = np.flatnonzero((expected != made[name]).any(axis=1))
        if len(rows):
            row = int(rows[0])
            place = int(np.flatnonzero(expected[row] != made[name][row])[0])
            text = ascii(texts[row][:_SHOWN])
            raise _differ(
                f"{path}, text {row} ({text}), token {place}", str(expected[row, place]), str(made[name][row, place])
            )


def _differ(where: str, expected: str, found: str) -> ToolchainError:
    what = "the tokenizer here makes other tokens of a golden text than the one that was trained with"
    return _refuse(ExitCode.PARITY, what, where, expected, found)


def _refuse(code: ExitCode, what: str, where: str, expected: str, found: str) -> ToolchainError:
    return ToolchainError(code, what, where=where, expected=expected, found=found, fix=_FIX)
