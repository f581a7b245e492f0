"""HuggingFace's tokenizer.json, where it is a WordPiece of BERT: its vocabulary and settings, and a no to all the rest.

What it asks for and the agent does not do would give other tokens: every key is one that is done here, or is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.agent.decode import join_pairs
from toolchain.agent.measure.preprocess.words import LETTERS_MAX
from toolchain.agent.text import BEGIN, END, MASKED, PADDING, UNKNOWN, WORDPIECE
from toolchain.errors import ToolchainError, usage

_NAMES = (PADDING, UNKNOWN, BEGIN, END, MASKED)
_TOKEN_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
# Of one text, behind which nothing is learnt of a second one.
_SINGLE = (BEGIN, "A", END)


@dataclass(frozen=True, kw_only=True)
class TokenizerJson:
    """What of a tokenizer.json counts."""

    vocabulary: bytes
    lowercase: bool
    strip_accents: bool
    split_cjk: bool


def read_tokenizer_json(data: bytes, path: Path, *, tokenizer: str, where: str) -> TokenizerJson:
    """Return a tokenizer.json; raises ToolchainError (exit 2) for none, and for what the agent would not do as it says."""
    if tokenizer != WORDPIECE:
        raise usage(
            "a tokenizer.json is read of WordPiece alone",
            where=f"{where}.tokenizer",
            expected=WORDPIECE,
            found=tokenizer,
            fix="correct the tokenizer, or name a file of one character a line",
        )
    try:
        document = json.loads(data, object_pairs_hook=join_pairs)
    except (ValueError, RecursionError) as error:
        raise _refuse(path, "the file", "JSON, each key once", str(error)) from error
    reader = _Reader(path)
    document = reader.read(document, "tokenizer.json", Mapping)
    reader.check_keys(
        document,
        "tokenizer.json",
        {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"},
    )  # fmt: skip
    _check_truncation(reader, document)
    vocabulary = _read_model(reader, document.get("model"))
    _check_added(reader, document.get("added_tokens"), vocabulary)
    reader.expect(document.get("pre_tokenizer"), {"type": "BertPreTokenizer"}, "pre_tokenizer")
    _check_processor(reader, document.get("post_processor"), vocabulary)
    return _read_normalizer(reader, document.get("normalizer"), vocabulary)


class _Reader:
    """Takes values of their types, and names the place of any other."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, value: Any, place: str, kind: type) -> Any:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            expected = {Mapping: "an object", list: "a list", str: "text", bool: "true or false", int: "a number"}[kind]
            raise self.refuse(place, expected, json.dumps(value)[:80])
        return value

    def expect(self, value: object, expected: object, place: str) -> None:
        if value != expected or type(value) is not type(expected):
            raise self.refuse(place, json.dumps(expected), json.dumps(value)[:80])

    def check_keys(self, table: Mapping[str, Any], place: str, known: set[str]) -> None:
        for key in table:
            if key not in known:
                raise self.refuse(
                    f"{place}.{key[:40]}", f"one of {', '.join(sorted(known))}", "a key that is not known"
                )

    def refuse(self, place: str, expected: str, found: str) -> ToolchainError:
        return _refuse(self._path, place, expected, found)


def _check_truncation(reader: _Reader, document: Mapping[str, Any]) -> None:
    """Refuse cutting or filling at the other side; the length is the recipe's."""
    truncation = document.get("truncation")
    if truncation is not None:
        reader.read(truncation, "truncation", Mapping)
        reader.check_keys(truncation, "truncation", {"direction", "max_length", "strategy", "stride"})
        reader.expect(truncation.get("direction", "Right"), "Right", "truncation.direction")
        reader.expect(truncation.get("stride", 0), 0, "truncation.stride")
    padding = document.get("padding")
    if padding is not None:
        reader.read(padding, "padding", Mapping)
        known = {"strategy", "direction", "pad_to_multiple_of", "pad_id", "pad_type_id", "pad_token"}
        reader.check_keys(padding, "padding", known)
        reader.expect(padding.get("direction", "Right"), "Right", "padding.direction")
        reader.expect(padding.get("pad_type_id", 0), 0, "padding.pad_type_id")
        reader.expect(padding.get("pad_token", PADDING), PADDING, "padding.pad_token")


def _read_model(reader: _Reader, model: Any) -> list[str]:
    """Return the tokens in the order of their numbers."""
    model = reader.read(model, "model", Mapping)
    reader.expect(model.get("type"), "WordPiece", "model.type")
    known = {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"}
    reader.check_keys(model, "model", known)
    reader.expect(model.get("unk_token"), UNKNOWN, "model.unk_token")
    reader.expect(model.get("continuing_subword_prefix"), "##", "model.continuing_subword_prefix")
    reader.expect(model.get("max_input_chars_per_word"), LETTERS_MAX, "model.max_input_chars_per_word")
    vocab = reader.read(model.get("vocab"), "model.vocab", Mapping)
    tokens: dict[int, str] = {}
    for token, number in vocab.items():
        place = f"model.vocab.{token[:40]}"
        reader.read(number, place, int)
        if number in tokens:
            raise reader.refuse(place, "a number of its own", f"{number}, which {tokens[number][:40]!a} has")
        tokens[number] = token
    if sorted(tokens) != list(range(len(tokens))):
        raise reader.refuse("model.vocab", f"the numbers 0 to {len(tokens) - 1}", "others")
    return [tokens[number] for number in range(len(tokens))]


def _check_added(reader: _Reader, added: Any, vocabulary: list[str]) -> None:
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


def _check_processor(reader: _Reader, processor: Any, vocabulary: list[str]) -> None:
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


def _read_normalizer(reader: _Reader, normalizer: Any, vocabulary: list[str]) -> TokenizerJson:
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
    return TokenizerJson(
        vocabulary="".join(f"{token}\n" for token in vocabulary).encode("utf-8", "surrogatepass"),
        lowercase=lowercase,
        strip_accents=lowercase if accents is None else accents,
        split_cjk=reader.read(normalizer.get("handle_chinese_chars"), f"{place}.handle_chinese_chars", bool),
    )


def _refuse(path: Path, place: str, expected: str, found: str) -> ToolchainError:
    return usage(
        "the tokenizer.json asks for what no board would do as it says",
        where=f"{path}: {place}",
        expected=expected,
        found=found,
        fix="tokenize in the application, and feed the model with token ids; or train with BERT's own WordPiece",
    )
