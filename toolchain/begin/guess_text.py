"""Whether a model reads the tokens of a text, by the names and types of its inputs: a guess, and said to be one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.agent.measure.preprocess.vocabulary import SIZE_BYTES_MAX
from toolchain.agent.text import BYTE_BPE, WORDPIECE
from toolchain.begin.brought import Tensor
from toolchain.run.regular_file import read_regular

# What exporters of HuggingFace, TensorFlow and fairseq call them.
_IDS = ("input_ids", "tokens", "token_ids", "ids")
_MASKS = ("attention_mask", "input_mask", "mask")
_TYPES = ("token_type_ids", "segment_ids")
# What lies beside a model that was saved with its tokenizer; the first one says more.
_FILES = ("tokenizer.json", "vocab.txt")
_TEXT_AXES = 2


@dataclass(frozen=True, kw_only=True)
class TextGuess:
    """The inputs that tokens feed, and the tokenizer's file where one lies beside the model."""

    ids: str
    mask: str | None
    types: str | None
    length: int | None
    """None where the graph takes any."""
    file: Path | None
    tokenizer: str | None
    """None where the file says one that no board has."""

    def write(self, *, has_texts: bool) -> list[str]:
        """Return [input] for a recipe; as a comment where something is missing yet."""
        named = [f'ids = "{self.ids}"']
        named += [] if self.mask is None else [f'mask = "{self.mask}"']
        named += [] if self.types is None else [f'types = "{self.types}"']
        file = _FILES[1] if self.file is None else self.file.name
        said = [
            f'tokenizer = "{self.tokenizer or WORDPIECE}"',
            f'file = "{file}"',
            f"length = {self.length or 128}",
            *named,
        ]
        said += [] if file == _FILES[0] else ["lowercase = true"]
        is_whole = (
            has_texts and self.file is not None and file == _FILES[0] and None not in (self.length, self.tokenizer)
        )
        mark = "" if is_whole else "# "
        head = (
            "# A guess: the model reads tokens. The data have to hold the texts too (an array of strings called text)."
        )
        return ["", head, f"{mark}[input]", f"{mark}text = {{ {', '.join(said)} }}"]

    def describe(self) -> str:
        """Return what is said of it."""
        file = (
            "no tokenizer.json lies beside the model"
            if self.file is None
            else f"{self.file.name} lies beside the model"
        )
        how = (
            "[input] in the recipe says how they are made"
            if self.tokenizer is not None
            else "no board makes tokens as it says, so make them in the application"
        )
        return f"a guess: {self.ids} takes the tokens of a text, and {file}; {how}"


def _find_tokenizer(file: Path | None) -> str | None:
    """Return which tokenizer a file is of: WordPiece where it does not say, None where it says one that no board has."""
    if file is None or file.name != _FILES[0]:
        return WORDPIECE
    try:
        document = json.loads(read_regular(file, size_max=SIZE_BYTES_MAX))
    except (OSError, ValueError, RecursionError):  # told where the recipe is read
        return WORDPIECE
    model = document.get("model") if isinstance(document, dict) else None
    kind = model.get("type", "WordPiece") if isinstance(model, dict) else "WordPiece"
    return {"WordPiece": WORDPIECE, "BPE": BYTE_BPE}.get(str(kind))


def guess_text(inputs: Sequence[Tensor], beside: Path) -> TextGuess | None:
    """Return which inputs are tokens; None where another input is none, or no name tells. beside: the model's folder."""
    names = {each.name: each for each in inputs}
    ids = next((name for name in _IDS if name in names), None)
    if ids is None or (names[ids].axes is not None and not names[ids].dtype.startswith("int")):
        return None
    mask = next((name for name in _MASKS if name in names), None)
    types = next((name for name in _TYPES if name in names), None)
    if set(names) != {ids, mask, types} - {None}:
        return None
    axes = names[ids].axes
    last = axes[-1] if axes is not None and len(axes) == _TEXT_AXES else None
    file = next((beside / name for name in _FILES if (beside / name).is_file()), None)
    return TextGuess(
        ids=ids,
        mask=mask,
        types=types,
        length=last if isinstance(last, int) else None,
        file=file,
        tokenizer=_find_tokenizer(file),
    )
