"""Texts of samples, as metrics get them."""

import numpy as np

from toolchain.agent.measure.targets import Ragged


def draw_texts(generator, count):
    """Return so many texts of a few words, of few letters, so that some agree by chance."""
    words = ["".join(generator.choice(list("abä"), generator.integers(1, 5))) for _ in range(count * 4)]
    return [" ".join(generator.choice(words, generator.integers(1, 6))) for _ in range(count)]


def pack_texts(texts):
    """Return texts, or bytes, as ragged bytes."""
    parts = [text if isinstance(text, bytes) else text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return Ragged(values=np.frombuffer(b"".join(parts), np.uint8), offsets=offsets)
