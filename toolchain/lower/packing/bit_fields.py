"""Codes of 1 to 8 bits side by side in unsigned words, in such a way that two shifts take each out again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def count_bits(values: int) -> int:
    """Return how many bits tell this many values apart; at least 1."""
    return max(1, (values - 1).bit_length())


def word_bits(bits: int) -> int:
    """Return the width of the words: bytes where they hold whole codes without waste, else 64 bits.

    3, 5, 6 and 7 bits lose 1, 4, 4 and 1 of 64. ONNX Runtime shifts words of 8, 32 and 64 bits.
    """
    return 8 if 8 % bits == 0 else 64


def word_dtype(bits: int) -> np.dtype[np.unsignedinteger]:
    """Return the type of the words."""
    return np.dtype(np.uint8 if word_bits(bits) == 8 else np.uint64)


def list_left_shifts(bits: int) -> NDArray[np.unsignedinteger]:
    """Return, for each code of a word, the shift that drops what lies above it `(codes a word,)`."""
    per_word = word_bits(bits) // bits
    return np.array([word_bits(bits) - bits * (index + 1) for index in range(per_word)], dtype=word_dtype(bits))


def pack_codes(codes: NDArray[np.integer], bits: int) -> NDArray[np.unsignedinteger]:
    """Return the words `(M, 1)` that hold codes `(N,)`, the first in the lowest bits; the last word is padded with 0."""
    dtype = word_dtype(bits)
    per_word = word_bits(bits) // bits
    padded = np.zeros(-(-len(codes) // per_word) * per_word, dtype=dtype)
    padded[: len(codes)] = codes
    shifts = np.arange(per_word, dtype=dtype) * dtype.type(bits)
    words: NDArray[np.unsignedinteger] = np.bitwise_or.reduce(padded.reshape(-1, per_word) << shifts, axis=1)
    return words.astype(dtype).reshape(-1, 1)
