"""Golden texts: what people and attackers write, with the inputs that it becomes, for any program's tokenizer to be checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolchain.agent.manifest import TensorSpec
from toolchain.agent.text import TextPairs
from toolchain.bundle.hard_texts import list_hard_texts
from toolchain.project.text_section import ReadText

GOLDEN_TEXTS = 32
"""Of the evaluation set; the hard ones come on top."""


@dataclass(frozen=True)
class GoldenTexts:
    """A tokenizer, and texts of the evaluation set."""

    text: ReadText
    texts: tuple[str, ...]


def write_texts(golden: GoldenTexts, inputs: Sequence[TensorSpec], folder: Path) -> TextPairs:
    """Write the vocabulary, texts and the inputs that they become into a bundle; return their paths."""
    text = golden.text
    if text.spec.file is not None and text.vocabulary is not None:
        path = folder / text.spec.file
        path.parent.mkdir(parents=True)
        path.write_bytes(text.vocabulary)
    texts = [*golden.texts, *list_hard_texts(text.spec.length)]
    data = [each.encode() for each in texts]
    utf8, offsets = "golden/texts.npy", "golden/texts-offsets.npy"
    np.save(folder / utf8, np.frombuffer(b"".join(data), dtype=np.uint8), allow_pickle=False)
    ends = np.cumsum([0, *map(len, data)], dtype=np.int64)
    np.save(folder / offsets, ends, allow_pickle=False)
    made = text.tokenizer.tokenize(texts, text.ids)
    paths = {}
    for index, tensor in enumerate(inputs):
        paths[tensor.name] = f"golden/text-{index}.npy"
        array = made[tensor.name].astype(tensor.dtype)
        np.save(folder / paths[tensor.name], array, allow_pickle=False)
    return TextPairs(utf8=utf8, offsets=offsets, inputs=paths)
