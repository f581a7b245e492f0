"""A text as a payload takes it: the numbers of its tokens, a mask of where they are, and the types of their segments."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Optional, Sequence

from ...errors import ExitCode, ToolchainError
from ...text import BEGIN, BYTE_BPE, BYTES, CHARACTERS, END, MASKED, PADDING, UNKNOWN, WORDPIECE, TextSpec
from .byte_bpe import ByteBpe, read_byte_bpe
from .vocabulary import read_vocabulary
from .words import normalize, split_word, split_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXT_BYTES_MAX = 1 << 20
"""Of a text in UTF-8: what is cut to a few hundred tokens is not a megabyte of normalized words first."""

# Of bytes: 0 is behind the end.
_FIRST_BYTE = 1


class Tokenizer:
    """What makes inputs of texts, as a manifest says it."""

    def __init__(self, spec: TextSpec, vocabulary: Optional[bytes], *, where: str, code: ExitCode) -> None:
        """Read the vocabulary; raises ToolchainError with the code: as its readers do, or for a length without room for a text."""
        self._spec = spec
        self._numbers: Dict[str, int] = {}
        self._bpe: Optional[ByteBpe] = None
        self._begin: List[int] = []
        self._end: List[int] = []
        if vocabulary is not None and spec.tokenizer == BYTE_BPE:
            self._bpe = ByteBpe(read_byte_bpe(vocabulary, where=where, code=code))
            self._begin, self._end = self._bpe.begin, self._bpe.end
        elif vocabulary is not None:
            self._numbers = read_vocabulary(vocabulary, spec.tokenizer, where=where, code=code)
        if spec.tokenizer == WORDPIECE:
            self._begin, self._end = [self._numbers[BEGIN]], [self._numbers[END]]
        self._longest = max(map(len, self._numbers), default=0)
        self.padding = self._numbers.get(PADDING, 0) if self._bpe is None else self._bpe.padding
        """What fills up behind the end of a text."""
        self._unknown = self._numbers.get(UNKNOWN, 0)
        self._room = spec.length - len(self._begin) - len(self._end)
        if self._room < 1:
            what, fix = "the tokens at both ends leave no room for a text", "write the length of the graph's input"
            least, length = f"{spec.length - self._room + 1} or more", str(spec.length)
            raise ToolchainError(code, what, where="input.text.length", expected=least, found=length, fix=fix)
        special = [name for name in (PADDING, UNKNOWN, BEGIN, END, MASKED) if name in self._numbers]
        reads_special = spec.special_in_text and spec.tokenizer == WORDPIECE
        self._special = re.compile(f"({'|'.join(map(re.escape, special))})") if reads_special else None

    @property
    def size(self) -> int:
        """How many numbers there are: each token is below it."""
        if self._bpe is not None:
            return self._bpe.size
        return _FIRST_BYTE + 256 if self._spec.tokenizer == BYTES else len(self._numbers)

    def number(self, text: str) -> List[int]:
        """Return the numbers of a text's tokens, at most `length` of them, without what fills up.

        Raises ToolchainError (exit 2): no str, one of more than TEXT_BYTES_MAX, one with half a character (a lone surrogate).
        """
        data, length = encode_text(text), self._spec.length
        if self._spec.tokenizer == BYTES:
            return [_FIRST_BYTE + byte for byte in data[:length]]
        if self._spec.tokenizer == CHARACTERS:
            return [self._numbers.get(character, self._unknown) for character in text[:length]]
        found = self._cut(text) if self._bpe is None else self._bpe.cut(text, reads_special=self._spec.special_in_text)
        return [*self._begin, *itertools.islice(found, self._room), *self._end]

    def tokenize(self, texts: Sequence[str], ids: str) -> Dict[str, NDArray[Any]]:
        """Return the inputs (texts, length) by name, as int64; raises ToolchainError as number does."""
        import numpy as np  # recipes are read where it is missing, and told so (exit 3)

        spec = self._spec
        numbers = np.full((len(texts), spec.length), self.padding, dtype=np.int64)
        mask = np.zeros_like(numbers)
        for row, text in enumerate(texts):
            found = self.number(text)
            numbers[row, : len(found)] = found
            mask[row, : len(found)] = 1
        inputs = {ids: numbers}
        if spec.mask is not None:
            inputs[spec.mask] = mask
        if spec.types is not None:
            inputs[spec.types] = np.zeros_like(numbers)
        return inputs

    def _cut(self, text: str) -> Iterator[int]:
        """Yield the numbers of WordPiece, without those at both ends."""
        parts = [text] if self._special is None else self._special.split(text)
        for index, part in enumerate(parts):
            if index % 2:  # what was split at
                yield self._numbers[part]
                continue
            for word in split_words(normalize(part, self._spec)):
                yield from split_word(word, self._numbers, unknown=self._unknown, longest=self._longest)


def encode_text(text: str) -> bytes:
    """Return a text's UTF-8; raises ToolchainError (exit 2) for what is no text that a tokenizer takes."""
    if not isinstance(text, str):
        raise _refuse("a str", type(text).__name__)
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"a lone surrogate, {text[error.start]!a}, at character {error.start}"
        raise _refuse("Unicode: whole characters", found) from error
    if len(data) > TEXT_BYTES_MAX:
        raise _refuse(f"at most {TEXT_BYTES_MAX} bytes of UTF-8", f"{len(data)}")
    return data


def _refuse(expected: str, found: str) -> ToolchainError:
    what, fix = "the text cannot be tokenized", "give the text as it was read, decoded as UTF-8; a long one in parts"
    return ToolchainError(ExitCode.USAGE, what, where="text", expected=expected, found=found, fix=fix)
