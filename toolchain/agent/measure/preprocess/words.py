"""The words of a text as BERT takes them, and their pieces: what HuggingFace's BertTokenizer does, step by step.

Clean: what is_removed is left out, white space becomes a space. Chinese: each sign between spaces. Accents: decomposed, in
canonical order, without the marks that take no room. Lower case: character by character, so that a sigma at the end of a word
is as any other. Then words are cut at white space, and each sign of punctuation is one.

Sources: tokenizers, normalizers/bert.rs, pre_tokenizers/bert.rs, models/wordpiece; the order of these steps is theirs.
"""

from __future__ import annotations

from typing import Dict, Iterator, List

from ...text import TextSpec
from .characters import decompose, is_accent, is_cjk, is_punctuation, is_removed, is_space, lower, order_marks

LETTERS_MAX = 100
"""A longer word is unknown as a whole."""
_CONTINUED = "##"


def normalize(text: str, spec: TextSpec) -> str:
    """Return a text as its words are cut from it."""
    text = "".join(map(_clean, text))
    if spec.split_cjk:
        text = "".join(f" {character} " if is_cjk(character) else character for character in text)
    if spec.strip_accents:
        ordered = order_marks("".join(map(decompose, text)))
        text = "".join(character for character in ordered if not is_accent(character))
    return "".join(map(lower, text)) if spec.lowercase else text


def _clean(character: str) -> str:
    if is_removed(character):
        return ""
    return " " if is_space(character) else character


def split_words(text: str) -> Iterator[str]:
    """Yield the words of a normalized text."""
    word: List[str] = []
    for character in text:
        space, punctuation = is_space(character), is_punctuation(character)
        if (space or punctuation) and word:
            yield "".join(word)
            word.clear()
        if punctuation:
            yield character
        elif not space:
            word.append(character)
    if word:
        yield "".join(word)


def split_word(word: str, vocabulary: Dict[str, int], *, unknown: int, longest: int) -> List[int]:
    """Return the numbers of a word's pieces, each the longest that there is; of a word with a part that is none, `unknown`.

    longest: letters of the longest piece.
    """
    if len(word) > LETTERS_MAX:
        return [unknown]
    numbers: List[int] = []
    start = 0
    while start < len(word):
        lead = _CONTINUED if start else ""
        for stop in range(min(len(word), start + longest), start, -1):
            number = vocabulary.get(lead + word[start:stop])
            if number is not None:
                break
        else:
            return [unknown]
        numbers.append(number)
        start = stop
    return numbers
