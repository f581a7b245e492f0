"""The table that says how a text becomes numbers: text of [input] in a recipe, tokenizer of a data set of texts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from toolchain.agent.measure.preprocess.tokenize import Tokenizer
from toolchain.agent.measure.preprocess.vocabulary import SIZE_BYTES_MAX
from toolchain.agent.text import BYTE_BPE, BYTES, LENGTH_MAX, OF_TABLES, TABLES, WORDPIECE, TextSpec
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.project.byte_bpe_json import read_byte_bpe_json
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import Section
from toolchain.project.wordpiece_json import read_wordpiece_json
from toolchain.run.regular_file import read_regular

FOLDER = "tokenizer"
"""Of the vocabulary in a bundle."""


class TextSection(Section):
    """How a text becomes the numbers of its tokens, and which inputs of the model take them."""

    tokenizer: Literal["bytes", "characters", "wordpiece", "byte_bpe"]
    """1 + each byte of its UTF-8; the line of each character in a file; the pieces of words that BERT and MiniLM take; or those
    that GPT-2, RoBERTa and BART take."""
    file: DataPath | None = None
    """The vocabulary, relative to the recipe: a token a line, the first one is 0; or a tokenizer.json, as which alone byte_bpe is
    read."""
    length: Annotated[int, Field(ge=1, le=LENGTH_MAX)]
    """Tokens of the model's inputs, those at both ends with them: longer texts are cut at their end, shorter ones filled up."""
    lowercase: bool | None = None
    """Of wordpiece: whether the training made texts lower case; a tokenizer.json says it itself."""
    strip_accents: bool | None = None
    """Of wordpiece: whether é is e; None is as lowercase."""
    split_cjk: bool | None = None
    """Of wordpiece: whether each Chinese sign is a word; None is true."""
    special_in_text: bool | None = None
    """Of wordpiece: whether [SEP] in a text means the token, as HuggingFace's tokenizers take it; None is true."""
    ids: str = "input_ids"
    """The model's input that takes the numbers."""
    mask: str | None = None
    """The input that is 1 where a token is and 0 behind the end, such as attention_mask; None where the model has none."""
    types: str | None = None
    """Of wordpiece and byte_bpe: the input of segments, all 0, such as token_type_ids; None where the model has none."""
    padding: str | None = None
    """Of byte_bpe: the token behind the end of a text; None is the one that the tokenizer.json says, or else <pad>."""


_OF_WORDPIECE = ("lowercase", "strip_accents", "split_cjk", "special_in_text")
# [CLS] and [SEP].
_ENDS = 2
_NAMES = {BYTE_BPE: "byte_bpe.json"}
_OF_TOKENIZER_JSON = ("lowercase", "strip_accents", "split_cjk", "special_in_text")


@dataclass(frozen=True, kw_only=True)
class ReadText:
    """A tokenizer, its file read."""

    spec: TextSpec
    vocabulary: bytes | None
    """What rides in the bundle; None of bytes."""
    tokenizer: Tokenizer
    ids: str

    @property
    def sha256(self) -> str:
        """Of what makes tokens of texts, whatever the inputs are called."""
        said = replace(self.spec, mask=None, types=None)
        return hashlib.sha256(repr(said).encode() + (self.vocabulary or b"")).hexdigest()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the model's inputs that it makes."""
        return tuple(self.spec.list_inputs(self.ids))


def find_text_contradiction(section: TextSection, where: str) -> ToolchainError | None:
    """Return the error for keys that are right each and cannot be true together; where: the table they stand in."""
    kind, file = section.tokenizer, section.file
    is_word, is_bpe, is_json = kind == WORDPIECE, kind == BYTE_BPE, (file or "").endswith(".json")
    named = [name for name in (section.ids, section.mask, section.types) if name is not None]
    ask = "do_lower_case in the training's tokenizer_config.json says it: uncased models have true, cased ones false"
    case = "nothing says whether the training made texts lower case"
    rows = [
        (kind != BYTES and file is None, "file", f"{kind} needs its vocabulary", "a file", "none", "name its file"),
        (kind == BYTES and file is not None, "file", "bytes have no vocabulary", "none", str(file), "remove it"),
        *(
            (not is_word and value is not None, key, f"{key} says nothing of {kind}", "none", str(value), "remove it")
            for key, value in ((key, getattr(section, key)) for key in _OF_WORDPIECE)
        ),
        *(
            (not takes and value is not None, key, f"{key} says nothing of {kind}", "none", str(value), "remove it")
            for key, takes, value in (("types", is_word or is_bpe, section.types), ("padding", is_bpe, section.padding))
        ),
        (
            *(
                is_bpe and not is_json,
                "file",
                "byte_bpe is read of a tokenizer.json alone",
                "a file that ends in .json",
            ),
            *(str(file), "save the tokenizer with save_pretrained, or with save of tokenizers, and name that file"),
        ),
        (
            *(is_json and not (is_word or is_bpe), "tokenizer", f"a tokenizer.json is no file of {kind}"),
            *("wordpiece or byte_bpe", kind, "correct the tokenizer, or name a file of one character a line"),
        ),
        *(
            (is_json and value is not None, key, f"a tokenizer.json says {key} itself", "none", str(value), "remove it")
            for key, value in ((key, getattr(section, key)) for key in _OF_TOKENIZER_JSON)
        ),
        (
            *(is_word and section.length < _ENDS + 1, "length", "[CLS] and [SEP] leave no room for a text"),
            *("3 or more", str(section.length), "write the length of the graph's input"),
        ),
        (is_word and not is_json and section.lowercase is None, "lowercase", case, "true or false", "none", ask),
        (
            *(len(set(named)) < len(named), "ids, mask, types", "one input would be fed twice"),
            *("names that differ", ", ".join(named), "name each input once"),
        ),
    ]
    return next((_explain(where, *row[1:]) for row in rows if row[0]), None)


def _explain(where: str, key: str, what: str, expected: str, found: str, fix: str) -> ToolchainError:
    return usage(what, where=f"{where}.{key}", expected=expected, found=found, fix=fix)


def read_text_section(section: TextSection, path: Path | None, *, where: str) -> ReadText:
    """Return a tokenizer with its file read from `path`.

    Raises ToolchainError (exit 2) for keys that contradict each other, a file that cannot be read or is no vocabulary, a
    tokenizer.json that asks for what the agent does not do.
    """
    problem = find_text_contradiction(section, where)
    if problem is not None:
        raise problem
    vocabulary = None if path is None else _read(path, where)
    lowercase, accents, cjk = bool(section.lowercase), section.strip_accents, section.split_cjk is not False
    special = section.special_in_text is not False
    if path is not None and vocabulary is not None and section.tokenizer == BYTE_BPE:
        vocabulary, special = read_byte_bpe_json(vocabulary, path, padding=section.padding), True
    elif path is not None and vocabulary is not None and path.suffix == ".json":
        found = read_wordpiece_json(vocabulary, path)
        vocabulary, lowercase, accents, cjk = found.vocabulary, found.lowercase, found.strip_accents, found.split_cjk
        special = True
    is_word = section.tokenizer == WORDPIECE
    spec = TextSpec(
        tokenizer=section.tokenizer,
        file=None if vocabulary is None else f"{FOLDER}/{_NAMES.get(section.tokenizer, 'vocabulary.txt')}",
        length=section.length,
        lowercase=is_word and lowercase,
        strip_accents=is_word and (lowercase if accents is None else accents),
        split_cjk=is_word and cjk,
        special_in_text=section.tokenizer in OF_TABLES and special,
        tables=TABLES if section.tokenizer in OF_TABLES else None,
        mask=section.mask,
        types=section.types,
    )
    tokenizer = Tokenizer(spec, vocabulary, where=str(path or where), code=ExitCode.USAGE)
    return ReadText(spec=spec, vocabulary=vocabulary, tokenizer=tokenizer, ids=section.ids)


def change_text(text: ReadText, **changes: Any) -> ReadText:
    """Return a tokenizer with the same vocabulary and other settings."""
    spec = replace(text.spec, **changes)
    tokenizer = Tokenizer(spec, text.vocabulary, where="input.text", code=ExitCode.USAGE)
    return replace(text, spec=spec, tokenizer=tokenizer)


def _read(path: Path, where: str) -> bytes:
    try:
        return read_regular(path, size_max=SIZE_BYTES_MAX)
    except OSError as error:
        raise usage(
            "the tokenizer's file cannot be read",
            where=f"{where}.file",
            expected=f"a file of at most {SIZE_BYTES_MAX} bytes that you may read",
            found=f"{path}: {error.strerror}",
            fix="correct the path, which is relative to the recipe",
        ) from error
