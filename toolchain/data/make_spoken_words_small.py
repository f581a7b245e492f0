"""Makes spoken_words_small.npz of the first words of spoken_words: the same bytes by the same espeak-ng (here 1.51).

Run: python -m toolchain.data.make_spoken_words_small
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.data.spoken_words import speak_word
from toolchain.data.spoken_words_small import FILE

# Twelve words of four voices of the training, and of all twenty of the test.
_CALIBRATION_WORDS = 48
_EVALUATION_WORDS = 240


def make_archive(calibration: Sequence[NDArray[np.uint8]], evaluation: Sequence[NDArray[np.uint8]]) -> bytes:
    """Return the content of the .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, **_join("calibration", calibration), **_join("evaluation", evaluation)
    )
    return buffer.getvalue()


def _join(part: str, words: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
    offsets = np.cumsum([0, *map(len, words)], dtype=np.int64)
    return {f"{part}_words": np.concatenate(words), f"{part}_offsets": offsets}


if __name__ == "__main__":
    FILE.write_bytes(
        make_archive(
            [speak_word("train", index) for index in range(_CALIBRATION_WORDS)],
            [speak_word("test", index) for index in range(_EVALUATION_WORDS)],
        )
    )
