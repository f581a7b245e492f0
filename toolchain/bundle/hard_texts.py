"""Texts on which tokenizers differ: each is there because some implementation does it otherwise."""

from __future__ import annotations

_HARD = (
    "",
    " \t\r\n ",
    "The quick brown fox, jumping over 13 lazy dogs -- isn't it?",
    "e\u0301cole \u00e9cole E\u0301COLE \u00c9COLE",  # NFD and NFC
    "\u1ea5 a\u0302\u0301 a\u0301\u0302 q\u0323\u0307 q\u0307\u0323",  # marks in an order of theirs
    "\u0130stanbul \u0131\u015f\u0131k I\u0307i",  # of the dotted I two characters become one
    "\u039f\u0394\u039f\u03a3 \u03c2\u03c3\u03a3 stra\u00dfe STRASSE \u1e9e",  # a sigma at the end of a word
    "\ufb01ne \u2167 \u00bd \u2126 \u212b \uff21\uff22",  # compatibility: not decomposed
    "\u4f60\u597d world \u3042\u30a2\u304c \ud55c\uad6d\uc5b4 \uf900",  # Chinese, kana, Hangul
    "\u0643\u064e\u062a\u064e\u0628\u064e \u05e9\u05b8\u05dc\u05d5\u05b9\u05dd \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22",
    "a\x00b\x07c\x7fd\u0085e\u200bf\u200dg\u202eh\ufeffi\ufffdj\u00adk",  # controls, and what has no width
    "a\u00a0b\u2003c\u2028d\u3000e\u180ef",  # white space and what was some once
    "don\u2019t \u201cquote\u201d \u00ab\u00bb \u00a1\u00bf $5+5=10^1 <a|b> ~` #x @y \u20ac\u00a3 \u3002\u2014",
    "\U0001f600\U0001f44d\U0001f3fd \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1ea\U0001f1fa \u2764\ufe0f",  # emoji
    "\U00010400\U00010428 \U0001d400 \U00020000 \U000e0041 \ue000",  # beyond 16 bits, tags, private use
    "I'll don't WE'LL we've 'tis ''s it's'd they'Re '\u017f",  # endings of English, as GPT-2 cuts them
    "a  b   c \n\n d\t\te  \u3000\u3000f   ",  # of white space the last one belongs to what follows
    "x\u00bd \u00b2\u0663\u2167 \uff11\u4e00 1\u0301a _a__ a\u0301b \u0e33 \u16ee",  # numbers and letters of all kinds
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa \u0113\u0100\u0120\u010a",  # joined in order; letters that stand for bytes
    "<s>a  <mask> b</s></s><pad> <|endoftext|> <unk> <S>",
    "[CLS] [sep] [SEP][MASK]x [PAD] [UNK] [ SEP ] ##ing",
    "\u302e\u0334a\u302e\u0334 \U0001d15e",  # a mark with room among those without
)
# Longer than any word of WordPiece, by one and by none.
_WORDS = ("a" * 100, "a" * 101)


def list_hard_texts(length: int) -> list[str]:
    """Return them, with texts that are cut by one token, by none, and by many."""
    long = [" ".join(["ab"] * count) for count in (length - 2, length - 1, length, 2 * length)]
    return [*_HARD, *_WORDS, *long]
