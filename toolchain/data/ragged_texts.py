"""Texts as a ragged target: the bytes of them all, and where each begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.agent.measure.targets import Ragged


def join_texts(texts: Sequence[bytes]) -> Ragged:
    """Return texts of bytes as rows of uint8."""
    return Ragged(
        values=np.frombuffer(b"".join(texts), dtype=np.uint8),
        offsets=np.cumsum([0, *map(len, texts)], dtype=np.int64),
    )
