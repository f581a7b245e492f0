"""Byte-level BPE, as GPT-2 and RoBERTa have it: a text is cut as compile_gpt2 says, and the bytes of each part are joined pair by pair.

Of all pairs that stand beside each other the one that was learnt first is joined, the leftmost one where there are several, until
there is none. Sources: tokenizers, models/bpe/word.rs, pre_tokenizers/byte_level.rs, tokenizer/added_vocabulary.rs.
"""

from __future__ import annotations

import heapq
import json
import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ...decode import join_pairs
from ...errors import ExitCode, ToolchainError
from .characters import compile_gpt2, list_spaces

_KEYS = {"tokens", "merges", "begin", "end", "padding", "space_first", "special", "takes_space"}
# A place in a text of 1 MiB, with a space in front, takes 21 bits.
_PLACE_BITS = 21
# Bytes that stand for themselves; each other one is a letter from U+0100 on.
_PRINTED = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))


def list_byte_letters() -> List[str]:
    """Return the letter that stands for each byte in a vocabulary, as GPT-2's bytes_to_unicode has them."""
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in _PRINTED else next(others)) for byte in range(256)]


class ByteBpeFile(NamedTuple):
    """What the file of a bundle says, as JSON; all but tokens by their numbers."""

    tokens: List[str]
    """In the order of their numbers, with the letters of list_byte_letters; special ones as they are written."""
    merges: List[Tuple[int, int]]
    """Pairs, the one that was learnt first in front."""
    begin: List[int]
    end: List[int]
    """What stands before and behind each text."""
    padding: int
    space_first: bool
    """Whether a text, and what stands between special tokens, begins with a space (add_prefix_space)."""
    special: List[int]
    """Tokens that a text may say."""
    takes_space: List[int]
    """Of them, those that take the white space in front of them (lstrip), as RoBERTa's <mask>."""


def read_byte_bpe(data: bytes, *, where: str, code: ExitCode) -> ByteBpeFile:
    """Return the file of a bundle; raises ToolchainError with the code for what is none."""
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=join_pairs)
        problem = _find_problem(document)
    except (ValueError, RecursionError) as error:
        problem = (where, "JSON in UTF-8, each key once", str(error) or "nesting too deep")
    if problem is not None:
        place, expected, found = problem
        what, fix = (
            "the tokenizer's file cannot be used",
            "write the bundle again, from the tokenizer.json of the training",
        )
        raise ToolchainError(code, what, where=f"{where}: {place}", expected=expected, found=found[:80], fix=fix)
    return ByteBpeFile(**document)


def _find_problem(document: Any) -> Optional[Tuple[str, str, str]]:  # noqa: C901, PLR0911, PLR0912 - one key after the other
    """Return place, what is expected and what is found, of the first thing that is wrong."""
    if not isinstance(document, dict) or document.keys() != _KEYS:
        return (
            "keys",
            ", ".join(sorted(_KEYS)),
            type(document).__name__ if not isinstance(document, dict) else ", ".join(document),
        )
    tokens = document["tokens"]
    if not isinstance(tokens, list) or not all(isinstance(token, str) and token for token in tokens):
        return "tokens", "texts that are not empty", "others"
    numbers = {token: number for number, token in enumerate(tokens)}
    if len(numbers) < len(tokens):
        return "tokens", "each of them once", f"{len(tokens) - len(numbers)} twice"
    lacking = [letter for letter in list_byte_letters() if letter not in numbers]
    if lacking:
        return "tokens", "a token for each of the 256 bytes", f"none for {len(lacking)}, such as {lacking[0]!a}"

    def are_numbers(value: Any) -> bool:
        return isinstance(value, list) and all(type(number) is int and 0 <= number < len(tokens) for number in value)

    for key in ("begin", "end", "special", "takes_space"):
        if not are_numbers(document[key]):
            return key, f"numbers below {len(tokens)}", json.dumps(document[key])
    if not are_numbers([document["padding"]]):
        return "padding", f"a number below {len(tokens)}", json.dumps(document["padding"])
    if not isinstance(document["space_first"], bool):
        return "space_first", "true or false", json.dumps(document["space_first"])
    if not set(document["takes_space"]) <= set(document["special"]):
        return "takes_space", "some of special", json.dumps(document["takes_space"])
    merges = document["merges"]
    if not isinstance(merges, list):
        return "merges", "pairs of numbers", json.dumps(merges)
    for rank, pair in enumerate(merges):
        if not are_numbers(pair) or len(pair) != 2:
            return f"merges[{rank}]", f"two numbers below {len(tokens)}", json.dumps(pair)
        if tokens[pair[0]] + tokens[pair[1]] not in numbers:
            return f"merges[{rank}]", "a pair that is a token", ascii(tokens[pair[0]] + tokens[pair[1]])
    if len(set(map(tuple, merges))) < len(merges):
        return "merges", "each pair once", "one twice"
    return None


class ByteBpe:
    """What cuts a text into numbers."""

    def __init__(self, file: ByteBpeFile) -> None:
        """Take what read_byte_bpe returned."""
        numbers = {token: number for number, token in enumerate(file.tokens)}
        self.size = len(file.tokens)
        self.padding = file.padding
        self.begin, self.end = file.begin, file.end
        self._space_first = file.space_first
        self._bytes = [numbers[letter] for letter in list_byte_letters()]
        self._ranks: Dict[int, int] = {left * self.size + right: rank for rank, (left, right) in enumerate(file.merges)}
        self._joined = [numbers[file.tokens[left] + file.tokens[right]] for left, right in file.merges]
        self._special: Mapping[str, int] = {file.tokens[number]: number for number in file.special}
        self._takes_space = frozenset(file.takes_space)
        # Of several at one place the longest, as the other implementation has it.
        longest = sorted(self._special, key=len, reverse=True)
        self._find_special = re.compile("|".join(map(re.escape, longest))) if longest else None

    def cut(self, text: str, *, reads_special: bool) -> Iterator[int]:
        """Yield the numbers of a text, without those at both ends."""
        start = 0
        if reads_special and self._find_special is not None:
            for match in self._find_special.finditer(text):
                number, part = self._special[match.group()], text[start : match.start()]
                yield from self._cut_part(part.rstrip(list_spaces()) if number in self._takes_space else part)
                yield number
                start = match.end()
        yield from self._cut_part(text[start:])

    def _cut_part(self, part: str) -> Iterator[int]:
        if self._space_first and part and not part.startswith(" "):
            part = f" {part}"
        for match in compile_gpt2().finditer(part):
            yield from self._join([self._bytes[byte] for byte in match.group().encode()])

    def _join(self, numbers: List[int]) -> List[int]:
        """Return the numbers of a part whose bytes have these: in n log n steps, since a text may be one word of a megabyte."""
        count = len(numbers)
        following, before = [*range(1, count + 1)], [*range(-1, count - 1)]
        heap: List[int] = []  # rank, and place of the left one, in one number: half the memory of pairs

        def offer(at: int) -> None:
            rank = self._ranks.get(numbers[at] * self.size + numbers[following[at]])
            if rank is not None:
                heapq.heappush(heap, rank << _PLACE_BITS | at)

        for at in range(count - 1):
            offer(at)
        while heap:
            rank, at = divmod(heapq.heappop(heap), 1 << _PLACE_BITS)
            right = following[at]
            # What was offered before one of the two was joined with another is none any more.
            if numbers[at] < 0 or right == count or self._ranks.get(numbers[at] * self.size + numbers[right]) != rank:
                continue
            numbers[at], numbers[right] = self._joined[rank], -1
            following[at] = following[right]
            if following[at] < count:
                before[following[at]] = at
                offer(at)
            if before[at] >= 0:
                offer(before[at])
        return [number for number in numbers if number >= 0]
