"""HuggingFace's tokenizer.json: its keys, and a no to each value that the agent would not do as it says, by its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.agent.decode import join_pairs
from toolchain.errors import ToolchainError, usage

_KEYS = {
    "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model",
}  # fmt: skip


class DocumentReader:
    """Takes values of their types, and names the place of any other."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, value: Any, place: str, kind: type) -> Any:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            expected = {Mapping: "an object", list: "a list", str: "text", bool: "true or false", int: "a number"}[kind]
            raise self.refuse(place, expected, json.dumps(value)[:80])
        if isinstance(value, str):
            self._check_characters(value, place)
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

    def _check_characters(self, text: str, place: str) -> None:
        if any("\ud800" <= character < "\ue000" for character in text):
            raise self.refuse(place, "whole characters", ascii(text[:40]))

    def read_vocabulary(self, value: Any) -> dict[str, int]:
        """Return tokens and their numbers, in the order of these; each from 0 on is there once."""
        numbers = self.read(value, "model.vocab", Mapping)
        tokens: dict[int, str] = {}
        for token, number in numbers.items():
            place = f"model.vocab.{token[:40]}"
            self._check_characters(token, "model.vocab")
            self.read(number, place, int)
            if number in tokens:
                raise self.refuse(place, "a number of its own", f"{number}, which {tokens[number][:40]!a} has")
            tokens[number] = token
        if sorted(tokens) != list(range(len(tokens))):
            raise self.refuse("model.vocab", f"the numbers 0 to {len(tokens) - 1}", "others")
        return {tokens[number]: number for number in range(len(tokens))}

    def refuse(self, place: str, expected: str, found: str) -> ToolchainError:
        return _refuse(self._path, place, expected, found)


def open_document(data: bytes, path: Path) -> tuple[DocumentReader, Mapping[str, Any]]:
    """Return a tokenizer.json with what reads it; raises ToolchainError (exit 2) for none, and for keys that it has not."""
    try:
        document = json.loads(data, object_pairs_hook=join_pairs)
    except (ValueError, RecursionError) as error:
        raise _refuse(path, "the file", "JSON, each key once", str(error)) from error
    reader = DocumentReader(path)
    found: Mapping[str, Any] = reader.read(document, "tokenizer.json", Mapping)
    reader.check_keys(found, "tokenizer.json", _KEYS)
    return reader, found


def check_truncation(reader: DocumentReader, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Refuse cutting or filling at the other side; the length is the recipe's. Return how the file fills up."""
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
    return padding


def _refuse(path: Path, place: str, expected: str, found: str) -> ToolchainError:
    return usage(
        "the tokenizer.json asks for what no board would do as it says",
        where=f"{path}: {place}",
        expected=expected,
        found=found,
        fix="tokenize in the application, and feed the model with token ids; or train with BERT's WordPiece or GPT-2's byte-level BPE",
    )
