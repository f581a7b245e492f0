"""Text as what the sensor gives: the tokenizer that makes the payload's inputs of it, as manifests say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, Mapping, Optional, Sequence

from .bundle_files import require

if TYPE_CHECKING:
    from .manifest import TensorSpec

BYTES, CHARACTERS, WORDPIECE, BYTE_BPE = "bytes", "characters", "wordpiece", "byte_bpe"
TOKENIZERS = (BYTES, CHARACTERS, WORDPIECE, BYTE_BPE)
OF_TABLES = (WORDPIECE, BYTE_BPE)
"""Those that ask what a character is."""
LENGTH_MAX = 1 << 16
"""Tokens of an input: of the longest context that anybody runs on a board, several times."""

PADDING, UNKNOWN, BEGIN, END, MASKED = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
"""The tokens of BERT that stand for no text; every vocabulary calls them so."""

TABLES = "tokenizers 0.23"
"""Whose character tables OF_TABLES go by (measure/preprocess/character_tables.py)."""

_IDS_TYPES = ("int32", "int64")
_MASK_TYPES = ("int32", "int64", "float32", "bool")


@dataclass(frozen=True)
class TextSpec:
    """How a text becomes the inputs of the payload (measure/preprocess/text.py): token ids, and what goes with them."""

    tokenizer: str
    file: Optional[str]
    """A file of the bundle: a token a line, the first one is 0; of byte_bpe JSON (measure/preprocess/byte_bpe.py). None of bytes."""
    length: int
    """Tokens of the inputs: longer texts are cut at their end, shorter ones filled up."""
    lowercase: bool
    strip_accents: bool
    split_cjk: bool
    special_in_text: bool
    """Of OF_TABLES: whether a text that says [SEP] or <s> means the token, as HuggingFace's tokenizers take it."""
    tables: Optional[str]
    """Of OF_TABLES: whose tables of characters (TABLES)."""
    mask: Optional[str]
    """The input that is 1 where there is a token and 0 where there is none; None where the payload takes none."""
    types: Optional[str]
    """The input of segments, which are all 0; None where the payload takes none."""

    def list_inputs(self, ids: str) -> Dict[str, Sequence[str]]:
        """Return the types that each input may have, by name."""
        named: Dict[str, Sequence[str]] = {ids: _IDS_TYPES}
        named.update({} if self.mask is None else {self.mask: _MASK_TYPES})
        named.update({} if self.types is None else {self.types: _IDS_TYPES})
        return named


@dataclass(frozen=True)
class TextPairs:
    """Texts and the inputs that they become, .npy files.

    `utf8` has the bytes (uint8) of all texts one after another, text i those from offsets[i] to offsets[i + 1]; `inputs` are
    (texts, length) each, by the name of the payload's input.
    """

    utf8: str
    offsets: str
    inputs: Mapping[str, str]


def check_text(spec: TextSpec, ids: str, tensors: Sequence[TensorSpec]) -> None:
    """Refuse (exit 23) a tokenizer of another vocabulary of words, or one that does not make the payload's inputs."""
    where = "input.text"
    require(spec.tokenizer in TOKENIZERS, f"{where}.tokenizer", f"one of {', '.join(TOKENIZERS)}", spec.tokenizer)
    needs_file = spec.tokenizer != BYTES
    require((spec.file is not None) is needs_file, f"{where}.file", "a file, or none of bytes", spec.file)
    least = 3 if spec.tokenizer == WORDPIECE else 1
    require(least <= spec.length <= LENGTH_MAX, f"{where}.length", f"{least} to {LENGTH_MAX}", spec.length)
    of_words = spec.lowercase or spec.strip_accents or spec.split_cjk
    require(spec.tokenizer == WORDPIECE or not of_words, where, "nothing of WordPiece", spec)
    of_tables = spec.special_in_text or spec.types is not None
    require(spec.tokenizer in OF_TABLES or not of_tables, where, f"nothing of {' and '.join(OF_TABLES)}", spec)
    tables = TABLES if spec.tokenizer in OF_TABLES else None
    require(spec.tables == tables, f"{where}.tables", str(tables), spec.tables)
    wanted = spec.list_inputs(ids)
    require(len(wanted) == 1 + (spec.mask is not None) + (spec.types is not None), where, "names that differ", wanted)
    found = {tensor.name: tensor for tensor in tensors}
    require(found.keys() == wanted.keys(), "inputs", f"those of the tokenizer: {', '.join(wanted)}", ", ".join(found))
    for name, types in wanted.items():
        tensor = found[name]
        fits = tensor.dtype in types and tensor.takes((None, spec.length))
        expected = f"{' or '.join(types)} of shape (samples, {spec.length})"
        require(fits, f"inputs.{name}", expected, f"{tensor.dtype} of shape {tensor.shape}")
