"""HuggingFace's tokenizer.json, where it is a WordPiece of BERT: its vocabulary and settings, and a no to all the rest.

What it asks for and the agent does not do would give other tokens: every key is one that is done here, or is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.agent.measure.preprocess.words import LETTERS_MAX
from toolchain.agent.text import BEGIN, END, MASKED, PADDING, UNKNOWN
from toolchain.project.tokenizer_document import DocumentReader, check_truncation, open_document

_NAMES = (PADDING, UNKNOWN, BEGIN, END, MASKED)
_TOKEN_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
# Of one text, behind which nothing is learnt of a second one.
_SINGLE = (BEGIN, "A", END)


@dataclass(frozen=True, kw_only=True)
class WordPieceJson:
    """What of a tokenizer.json counts."""

    vocabulary: bytes
    lowercase: bool
    strip_accents: bool
    split_cjk: bool


def read_wordpiece_json(data: bytes, path: Path) -> WordPieceJson:
    """Return a tokenizer.json; raises ToolchainError (exit 2) for none, and for what the agent would not do as it says."""
    reader, document = open_document(data, path)
    padding = check_truncation(reader, document)
    if padding is not None:
        reader.expect(padding.get("pad_token", PADDING), PADDING, "padding.pad_token")
    vocabulary = _read_model(reader, document.get("model"))
    if padding is not None and PADDING in vocabulary:
        reader.expect(padding.get("pad_id", 0), vocabulary.index(PADDING), "padding.pad_id")
    _check_added(reader, document.get("added_tokens"), vocabulary)
    reader.expect(document.get("pre_tokenizer"), {"type": "BertPreTokenizer"}, "pre_tokenizer")
    _check_processor(reader, document.get("post_processor"), vocabulary)
    return _read_normalizer(reader, document.get("normalizer"), vocabulary)


def _read_model(reader: DocumentReader, model: Any) -> list[str]:
    """Return the tokens in the order of their numbers."""
    model = reader.read(model, "model", Mapping)
    reader.expect(model.get("type"), "WordPiece", "model.type")
    known = {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"}
    reader.check_keys(model, "model", known)
    reader.expect(model.get("unk_token"), UNKNOWN, "model.unk_token")
    reader.expect(model.get("continuing_subword_prefix"), "##", "model.continuing_subword_prefix")
    reader.expect(model.get("max_input_chars_per_word"), LETTERS_MAX, "model.max_input_chars_per_word")
    return list(reader.read_vocabulary(model.get("vocab")))


def _check_added(reader: DocumentReader, added: Any, vocabulary: list[str]) -> None:
    for index, token in enumerate(reader.read([] if added is None else added, "added_tokens", list)):
        place = f"added_tokens[{index}]"
        token = reader.read(token, place, Mapping)  # noqa: PLW2901 - the same one, as what it is
        reader.check_keys(token, place, {"id", "content", *_TOKEN_FLAGS})
        content = reader.read(token.get("content"), f"{place}.content", str)
        if content not in _NAMES:
            raise reader.refuse(f"{place}.content", f"one of {', '.join(_NAMES)}", repr(content[:40]))
        for flag, value in _TOKEN_FLAGS.items():
            reader.expect(token.get(flag), value, f"{place}.{flag}")
        number = token.get("id")
        if not isinstance(number, int) or not 0 <= number < len(vocabulary) or vocabulary[number] != content:
            raise reader.refuse(f"{place}.id", f"the number of {content} in model.vocab", str(number)[:40])
    found = {token["content"] for token in added or []}
    for name in _NAMES:
        if name in vocabulary and name not in found:
            raise reader.refuse("added_tokens", f"{name}, which the vocabulary has", "none")


def _check_processor(reader: DocumentReader, processor: Any, vocabulary: list[str]) -> None:
    """Refuse anything but [CLS], the text, [SEP], in either of the two ways that it is written in."""
    place = "post_processor"
    processor = reader.read(processor, place, Mapping)
    numbers = {name: vocabulary.index(name) if name in vocabulary else -1 for name in (BEGIN, END)}
    if processor.get("type") == "BertProcessing":
        reader.check_keys(processor, place, {"type", "sep", "cls"})
        reader.expect(processor.get("cls"), [BEGIN, numbers[BEGIN]], f"{place}.cls")
        reader.expect(processor.get("sep"), [END, numbers[END]], f"{place}.sep")
        return
    reader.expect(processor.get("type"), "TemplateProcessing", f"{place}.type")
    reader.check_keys(processor, place, {"type", "single", "pair", "special_tokens"})
    kinds = [("SpecialToken", name) if name != "A" else ("Sequence", name) for name in _SINGLE]
    reader.expect(
        processor.get("single"), [{kind: {"id": name, "type_id": 0}} for kind, name in kinds], f"{place}.single"
    )
    special = reader.read(processor.get("special_tokens"), f"{place}.special_tokens", Mapping)
    for name, number in numbers.items():
        expected = {"id": name, "ids": [number], "tokens": [name]}
        reader.expect(special.get(name), expected, f"{place}.special_tokens.{name}")


def _read_normalizer(reader: DocumentReader, normalizer: Any, vocabulary: list[str]) -> WordPieceJson:
    place = "normalizer"
    normalizer = reader.read(normalizer, place, Mapping)
    reader.expect(normalizer.get("type"), "BertNormalizer", f"{place}.type")
    reader.check_keys(normalizer, place, {"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"})
    reader.expect(normalizer.get("clean_text"), expected=True, place=f"{place}.clean_text")
    lowercase = reader.read(normalizer.get("lowercase"), f"{place}.lowercase", bool)
    accents = normalizer.get("strip_accents")
    if accents is not None:
        reader.read(accents, f"{place}.strip_accents", bool)
    for index, token in enumerate(vocabulary):
        if "\n" in token:
            raise reader.refuse(f"model.vocab, number {index}", "tokens of one line", ascii(token[:40]))
    return WordPieceJson(
        vocabulary="".join(f"{token}\n" for token in vocabulary).encode(),
        lowercase=lowercase,
        strip_accents=lowercase if accents is None else accents,
        split_cjk=reader.read(normalizer.get("handle_chinese_chars"), f"{place}.handle_chinese_chars", bool),
    )
