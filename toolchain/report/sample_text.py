"""Samples as texts: what a model that reads tokens got, put together again from them by the tokenizer of the bundle.

It is what the payload saw, as with pictures: cut at its length, in lower case where the tokenizer made it so, unknown words as [UNK].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from toolchain.agent.manifest import Manifest
from toolchain.agent.measure.golden import open_golden
from toolchain.agent.measure.preprocess.byte_bpe import list_byte_letters, read_byte_bpe
from toolchain.agent.measure.preprocess.text import open_tokenizer
from toolchain.agent.measure.preprocess.vocabulary import read_vocabulary
from toolchain.agent.text import BEGIN, BYTE_BPE, BYTES, CHARACTERS, END, TextSpec
from toolchain.errors import ExitCode

_BROKEN = "\ufffd"
_CONTINUED = "##"


def read_sample_texts(bundle_dir: Path, manifest: Manifest, indices: Sequence[int]) -> dict[int, str]:
    """Return the texts of these evaluation samples; nothing where no text feeds the payload.

    Raises ToolchainError (exit 11 or 23) where tokenizer or golden arrays are not those of the manifest or cannot be read.
    """
    spec, tokenizer = None if manifest.input is None else manifest.input.text, open_tokenizer(bundle_dir, manifest)
    if spec is None or manifest.input is None or tokenizer is None or not indices:
        return {}
    data = b"" if spec.file is None else (bundle_dir / spec.file).read_bytes()
    write, golden = choose_writer(spec, data), open_golden(bundle_dir, manifest)
    texts = {}
    for index in indices:
        inputs = golden.read_inputs(index, index + 1)
        numbers = inputs[manifest.input.name].reshape(-1).tolist()
        if spec.mask is not None:
            numbers = numbers[: int(inputs[spec.mask].sum())]
        while spec.mask is None and numbers and numbers[-1] == tokenizer.padding:
            numbers.pop()
        texts[index] = write(numbers)
    return texts


def choose_writer(spec: TextSpec, data: bytes) -> Callable[[Sequence[int]], str]:
    """Return what makes a text of numbers."""
    if spec.tokenizer == BYTES:
        return lambda numbers: bytes(number - 1 for number in numbers if 0 < number <= 256).decode("utf-8", "replace")
    if spec.tokenizer == BYTE_BPE:
        return _write_pairs(data)
    tokens = list(read_vocabulary(data, spec.tokenizer, where=str(spec.file), code=ExitCode.MALFORMED))

    def list_tokens(numbers: Sequence[int]) -> list[str]:
        return [tokens[number] if 0 <= number < len(tokens) else _BROKEN for number in numbers]

    if spec.tokenizer == CHARACTERS:
        return lambda numbers: "".join(list_tokens(numbers))

    def write_words(numbers: Sequence[int]) -> str:
        pieces = list_tokens(numbers)
        pieces = pieces[pieces[:1] == [BEGIN] : len(pieces) - (pieces[-1:] == [END])]
        return "".join(
            piece.removeprefix(_CONTINUED) if piece.startswith(_CONTINUED) else f" {piece}" for piece in pieces
        ).lstrip(" ")

    return write_words


def _write_pairs(data: bytes) -> Callable[[Sequence[int]], str]:
    file = read_byte_bpe(data, where="tokenizer", code=ExitCode.MALFORMED)
    values = {letter: byte for byte, letter in enumerate(list_byte_letters())}
    special = set(file.special)

    def write(numbers: Sequence[int]) -> str:
        numbers = list(numbers)
        begin, end = file.begin, file.end
        numbers = numbers[len(begin) if numbers[: len(begin)] == begin else 0 :]
        numbers = numbers[: len(numbers) - len(end)] if end and numbers[-len(end) :] == end else numbers
        text = b""
        for number in numbers:
            token = file.tokens[number] if 0 <= number < len(file.tokens) else _BROKEN
            is_plain = number not in special and all(letter in values for letter in token)
            text += bytes(values[letter] for letter in token) if is_plain else token.encode()
        return text.decode("utf-8", "replace")

    return write
