"""HuggingFace's tokenizer.json, where it is a byte-level BPE as of GPT-2, RoBERTa and BART: the file of a bundle, and a no to all the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

from toolchain.agent.measure.preprocess.byte_bpe import ByteBpeFile, list_byte_letters
from toolchain.agent.measure.preprocess.characters import is_space
from toolchain.project.tokenizer_document import DocumentReader, check_truncation, open_document

_PADDING = "<pad>"
# What is the same whichever of these a file says: all 256 bytes have tokens, and so nothing is ever unknown.
_OF_UNKNOWN = {"unk_token", "fuse_unk"}
_MODEL = {"dropout": None, "byte_fallback": False, "ignore_merges": False}
_AFFIXES = ("continuing_subword_prefix", "end_of_word_suffix")


def read_byte_bpe_json(data: bytes, path: Path, *, padding: str | None) -> bytes:
    """Return the file of a bundle (ByteBpeFile) that does what a tokenizer.json says.

    padding: the token behind the end of a text, as the recipe says it; None is the file's own. Raises ToolchainError (exit 2)
    for what the agent would not do as it says, by its place.
    """
    reader, document = open_document(data, path)
    own = check_truncation(reader, document)
    reader.expect(document.get("normalizer"), None, "normalizer")
    splitter = reader.read(document.get("pre_tokenizer"), "pre_tokenizer", Mapping)
    reader.check_keys(splitter, "pre_tokenizer", {"type", "add_prefix_space", "trim_offsets", "use_regex"})
    reader.expect(splitter.get("type"), "ByteLevel", "pre_tokenizer.type")
    reader.expect(splitter.get("use_regex", True), expected=True, place="pre_tokenizer.use_regex")
    space_first = reader.read(splitter.get("add_prefix_space"), "pre_tokenizer.add_prefix_space", bool)
    numbers, merges = _read_model(reader, reader.read(document.get("model"), "model", Mapping))
    special, takes_space = _read_added(reader, document.get("added_tokens"), numbers)
    begin, end = _read_ends(reader, document.get("post_processor"), numbers)
    file = ByteBpeFile(
        tokens=list(numbers),
        merges=merges,
        begin=begin,
        end=end,
        padding=_find_padding(reader, own, padding, numbers),
        space_first=space_first,
        special=special,
        takes_space=takes_space,
    )
    return json.dumps(file._asdict(), separators=(",", ":")).encode("ascii")


def _read_model(reader: DocumentReader, model: Mapping[str, Any]) -> tuple[dict[str, int], list[tuple[int, int]]]:
    """Return the tokens in the order of their numbers, and the pairs."""
    reader.expect(model.get("type"), "BPE", "model.type")
    reader.check_keys(model, "model", {"type", "vocab", "merges", *_MODEL, *_OF_UNKNOWN, *_AFFIXES})
    for key, expected in _MODEL.items():
        reader.expect(model.get(key, expected), expected, f"model.{key}")
    for key in _AFFIXES:
        if model.get(key) not in (None, ""):
            raise reader.refuse(f"model.{key}", "none", json.dumps(model[key])[:80])
    numbers = reader.read_vocabulary(model.get("vocab"))
    lacking = [letter for letter in list_byte_letters() if letter not in numbers]
    if lacking:
        raise reader.refuse("model.vocab", "a token for each of the 256 bytes", f"none for {lacking[0]!a}")
    merges: dict[tuple[int, int], None] = {}
    for rank, pair in enumerate(reader.read(model.get("merges"), "model.merges", list)):
        place = f"model.merges[{rank}]"
        parts = pair.split(" ") if isinstance(pair, str) else reader.read(pair, place, list)
        if len(parts) != 2 or not all(isinstance(part, str) and part in numbers for part in parts):
            raise reader.refuse(place, "two tokens of model.vocab", json.dumps(pair)[:80])
        if "".join(parts) not in numbers:
            raise reader.refuse(place, "a pair that is a token of model.vocab", json.dumps(pair)[:80])
        both = (numbers[parts[0]], numbers[parts[1]])
        if both in merges:
            raise reader.refuse(place, "each pair once", json.dumps(pair)[:80])
        merges[both] = None
    return numbers, list(merges)


def _read_added(reader: DocumentReader, added: Any, numbers: dict[str, int]) -> tuple[list[int], list[int]]:
    """Return the tokens that a text may say, and those that take white space; add those that the model has not to `numbers`."""
    takes_space = []
    groups: dict[str, bool] = {}
    for index, token in enumerate(reader.read([] if added is None else added, "added_tokens", list)):
        place = f"added_tokens[{index}]"
        reader.read(token, place, Mapping)
        reader.check_keys(token, place, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"})
        content = reader.read(token.get("content"), f"{place}.content", str)
        if not content or content in groups or any(map(is_space, content)):
            raise reader.refuse(f"{place}.content", "a word of its own, without white space", ascii(content[:40]))
        for flag in ("single_word", "rstrip"):
            reader.expect(token.get(flag), expected=False, place=f"{place}.{flag}")
        reader.read(token.get("special"), f"{place}.special", bool)
        groups[content] = reader.read(token.get("normalized"), f"{place}.normalized", bool)
        reader.expect(token.get("id"), numbers.setdefault(content, len(numbers)), f"{place}.id")
        if reader.read(token.get("lstrip"), f"{place}.lstrip", bool):
            takes_space.append(numbers[content])
    for first, second in permutations(groups, 2):
        # Those that are not normalized are looked for first, in the whole text: it must not matter.
        if groups[first] != groups[second] and _may_overlap(first, second):
            expected = f"the same as of {second[:40]!a}, with which it shares letters"
            raise reader.refuse(f"added_tokens, {first[:40]!a}.normalized", expected, json.dumps(groups[first]))
    return [numbers[content] for content in groups], takes_space


def _may_overlap(first: str, second: str) -> bool:
    """Return whether the first one lies in the second one, or ends as that begins."""
    return first in second or any(second.startswith(first[at:]) for at in range(len(first)))


def _read_ends(reader: DocumentReader, processor: Any, numbers: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Return what stands before and behind a text."""
    place = "post_processor"
    if processor is None:
        return [], []
    kind = reader.read(processor, place, Mapping).get("type")
    if kind == "ByteLevel":  # it changes where tokens are said to be, and no token
        return [], []
    if kind == "RobertaProcessing":
        reader.check_keys(processor, place, {"type", "sep", "cls", "trim_offsets", "add_prefix_space"})
        return _read_end(reader, processor.get("cls"), f"{place}.cls", numbers), _read_end(
            reader, processor.get("sep"), f"{place}.sep", numbers
        )
    reader.expect(kind, "TemplateProcessing", f"{place}.type")
    reader.check_keys(processor, place, {"type", "single", "pair", "special_tokens"})
    special = reader.read(processor.get("special_tokens"), f"{place}.special_tokens", Mapping)
    single = reader.read(processor.get("single"), f"{place}.single", list)
    text = {"Sequence": {"id": "A", "type_id": 0}}
    if single.count(text) != 1:
        raise reader.refuse(f"{place}.single", f"{json.dumps(text)} once", json.dumps(single)[:80])
    ends: list[int] = []
    for index, part in enumerate(single):
        if part == text:
            continue
        name = part.get("SpecialToken", {}).get("id") if isinstance(part, dict) else None
        reader.expect(part, {"SpecialToken": {"id": name, "type_id": 0}}, f"{place}.single[{index}]")
        at = f"{place}.special_tokens.{str(name)[:40]}"
        if not isinstance(name, str) or name not in numbers:
            raise reader.refuse(f"{place}.single[{index}]", "a token of model.vocab", json.dumps(name)[:80])
        reader.expect(special.get(name), {"id": name, "ids": [numbers[name]], "tokens": [name]}, at)
        ends.append(numbers[name])
    count = single.index(text)
    return ends[:count], ends[count:]


def _read_end(reader: DocumentReader, end: Any, place: str, numbers: Mapping[str, int]) -> list[int]:
    name = end[0] if isinstance(end, list) and end else None
    if not isinstance(name, str) or name not in numbers:
        raise reader.refuse(place, "a token of model.vocab with its number", json.dumps(end)[:80])
    reader.expect(end, [name, numbers[name]], place)
    return [numbers[name]]


def _find_padding(
    reader: DocumentReader, own: Mapping[str, Any] | None, said: str | None, numbers: Mapping[str, int]
) -> int:
    token = said if own is None else reader.read(own.get("pad_token"), "padding.pad_token", str)
    if said is not None and token != said:
        raise reader.refuse("padding.pad_token", f"{said[:40]!a}, as padding of the recipe says", repr(token)[:80])
    if token is None and _PADDING not in numbers:
        expected = "what fills up behind the end of a text, here or as padding of the recipe's table"
        raise reader.refuse("padding", expected, "none, and no token <pad>")
    token = _PADDING if token is None else token
    if token not in numbers:
        raise reader.refuse("padding.pad_token", "a token of model.vocab or added_tokens", ascii(token[:40]))
    if own is not None:
        reader.expect(own.get("pad_id"), numbers[token], "padding.pad_id")
    return numbers[token]
