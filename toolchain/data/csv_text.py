"""Texts in CSV files: a column of texts as numbers of tokens, with a mask, and a column of classes."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.agent.measure.targets import LABELS, TargetArray
from toolchain.data.csv_options import CsvOptions
from toolchain.data.csv_rows import CsvRows
from toolchain.data.dataset import Dataset, hash_files, interleave_classes
from toolchain.data.faults import Faults, Kind, refuse_without
from toolchain.errors import usage
from toolchain.project.text_section import ReadText, TextSection, read_text_section
from toolchain.project.toml_file import check_table

# The names that tokenizers and models of transformers have for them.
_IDS, _MASK = "input_ids", "attention_mask"
# Behind the end of a text.
_PADDING = 0
_LENGTH_MAX = 1 << 16

_NO_TEXT = Kind("a text without a letter", "leave the row out")
_NO_LETTER = Kind(
    "a letter that the alphabet lacks", "add it to data.options.alphabet and to the model, or leave the row out"
)


class Options(CsvOptions):
    """Where the rows are, and how a text becomes numbers."""

    text: str = "text"
    """The column of the text."""
    label: str = "label"
    """The column of the class."""
    tokens: Literal["bytes", "letters"] = "bytes"
    """A number for each byte of its UTF-8 (1 + the byte: a vocabulary of 257), or for each letter of the alphabet (1 + its
    place); 0 is what stands behind the end."""
    alphabet: str | None = None
    length: Annotated[int, Field(ge=1, le=_LENGTH_MAX)] = 128
    """Numbers that the model takes: longer texts are cut at their end."""
    with_mask: bool = True
    """Whether the model takes attention_mask too, 1 where input_ids has a text."""
    tokenizer: TextSection | None = None
    """In the place of tokens, alphabet, length and with_mask: as text of [input] has it, which a board can do too."""


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """What the arrays of a batch are called, and how long they are."""

    ids: str
    mask: str | None
    types: str | None
    length: int
    padding: int


@dataclass(frozen=True)
class TextRows:
    """Texts in memory, as long as they are; filled up when they are taken."""

    numbers: NDArray[np.int32]
    """Of the tokens of all texts, one after another."""
    utf8: bytearray
    """Of all texts, one after another."""
    ends: NDArray[np.int64]
    """Where each text ends in that, `(N,)`."""
    offsets: NDArray[np.int64]
    """Where each text begins, `(N + 1,)`, in the order of the file."""
    order: NDArray[np.int64]
    """Of the samples, as numbers of texts `(N,)`."""
    targets: Mapping[str, TargetArray]
    sha256: str
    path: Path
    lines: NDArray[np.int64]
    """Where each sample stands in the file, `(N,)`."""
    inputs: _Inputs

    def __len__(self) -> int:
        return len(self.order)

    def batch(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return the texts start to stop: int64 `(n, length)` for each input."""
        return self._fill(self.order[start:stop])

    def take(self, indices: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return the texts at the indices `(n,)`."""
        return self._fill(self.order[indices])

    def name_sample(self, index: int) -> str:
        """Return where a text stands."""
        return f"{self.path}, line {self.lines[index]}"

    def read_text(self, index: int) -> str:
        """Return a text as it stands in the file."""
        text = int(self.order[index])
        start = int(self.ends[text - 1]) if text else 0
        return self.utf8[start : int(self.ends[text])].decode()

    def _fill(self, texts: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        names = self.inputs
        ids = np.full((len(texts), names.length), names.padding, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts.tolist()):
            found = self.numbers[self.offsets[text] : self.offsets[text + 1]]
            ids[row, : len(found)] = found
            mask[row, : len(found)] = 1
        made = {names.ids: ids}
        made |= {} if names.mask is None else {names.mask: mask}
        return made if names.types is None else made | {names.types: np.zeros_like(ids)}


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the texts of two files."""
    chosen = check_table(Options, options, what="the options of csv_text", where="data.options")
    faults, text = Faults(), _read_tokenizer(chosen)
    number = _number_letters(chosen.alphabet or "") if text is None else text.tokenizer.number
    parts = [_read_part(Path(path), chosen, number, faults) for path in (chosen.train, chosen.evaluation)]
    faults.refuse()
    train, evaluation = (_make_samples(part, chosen, text) for part in parts)
    return Dataset(
        name="csv_text",
        train=train,
        calibration=train,
        evaluation=evaluation,
        classes=None if chosen.classes is None else tuple(chosen.classes),
        licence=None,
        names_inputs=True,
        tokenizer_sha256=None if text is None else text.sha256,
    )


def _read_tokenizer(options: Options) -> ReadText | None:
    """Return the tokenizer that the options name; None where it is an alphabet's."""
    section, where = options.tokenizer, "data.options.tokenizer"
    if section is not None:
        for key in ("tokens", "alphabet", "length", "with_mask"):
            if key in options.model_fields_set:
                raise usage(
                    "how texts become tokens is said twice",
                    where=f"data.options.{key}",
                    expected="none beside data.options.tokenizer",
                    found=str(getattr(options, key)),
                    fix="remove it: the table of the tokenizer says it",
                )
    elif (options.tokens == "letters") != (options.alphabet is not None):
        raise usage(
            "an alphabet and what the tokens are do not fit each other",
            where="data.options.alphabet",
            expected='an alphabet for tokens = "letters", and none for bytes',
            found=f"tokens = {options.tokens!r} with {'one' if options.alphabet is not None else 'none'}",
            fix="add the alphabet, or leave it out",
        )
    elif options.alphabet is None:
        section = TextSection(tokenizer="bytes", length=options.length, mask=_MASK if options.with_mask else None)
    path = None if section is None or section.file is None else Path(section.file)
    return None if section is None else read_text_section(section, path, where=where)


def _number_letters(alphabet: str) -> Callable[[str], list[int] | str]:
    """Return what numbers a text, or returns the first letter that has no number."""
    known = {letter: 1 + place for place, letter in enumerate(alphabet)}
    if not known or len(known) < len(alphabet):
        raise usage(
            "the alphabet has no letter, or one twice",
            where="data.options.alphabet",
            expected="one letter or more, each of them once",
            found=repr(alphabet[:80]),
            fix="correct the alphabet",
        )

    def number(text: str) -> list[int] | str:
        lacking = next((letter for letter in text if letter not in known), None)
        return [known[letter] for letter in text] if lacking is None else lacking

    return number


@dataclass(frozen=True)
class _Part:
    path: Path
    numbers: array[int]
    offsets: array[int]
    labels: array[int]
    lines: array[int]
    utf8: bytearray
    ends: array[int]


def _read_part(path: Path, options: Options, number: Callable[[str], list[int] | str], faults: Faults) -> _Part:
    rows = CsvRows(path, options.delimiter, faults)
    (text,) = rows.find_columns([options.text], option="text")
    (label,) = rows.find_columns([options.label], option="label")
    part = _Part(path, array("i"), array("q", [0]), array("q"), array("q"), bytearray(), array("q"))
    for row in rows.read():
        found, kind = number(row.cells[text]), rows.read_class(row, label, options.classes)
        if isinstance(found, str):
            expected = f"letters of {options.alphabet!r}"
            faults.add(_NO_LETTER, row.place, expected=expected, found=f"{found!r} in {row.cells[text]!r}")
        elif not found:
            faults.add(_NO_TEXT, row.place, expected="one letter or more", found="none")
        elif kind is not None:
            part.numbers.extend(found[: options.length] if options.tokenizer is None else found)
            part.utf8.extend(row.cells[text].encode())
            part.ends.append(len(part.utf8))
            part.offsets.append(len(part.numbers))
            part.labels.append(kind)
            part.lines.append(row.line)
    return part


def _make_samples(part: _Part, options: Options, text: ReadText | None) -> TextRows:
    refuse_without(len(part.lines), what="text", where=str(part.path))
    labels, lines = (np.frombuffer(column, dtype=np.int64) for column in (part.labels, part.lines))
    order = interleave_classes(labels)
    what = options.model_dump_json(exclude={"train", "evaluation"} | ({"tokenizer"} if text is None else set()))
    if text is not None:
        what += f" {text.sha256}"
    return TextRows(
        numbers=np.frombuffer(part.numbers, dtype=np.int32),
        offsets=np.frombuffer(part.offsets, dtype=np.int64),
        order=order,
        targets={LABELS: labels[order]},
        sha256=hash_files(f"csv_text {what}", [part.path]),
        path=part.path,
        lines=lines[order],
        utf8=part.utf8,
        ends=np.frombuffer(part.ends, dtype=np.int64),
        inputs=_name_inputs(options, text),
    )


def _name_inputs(options: Options, text: ReadText | None) -> _Inputs:
    if text is None:
        mask = _MASK if options.with_mask else None
        return _Inputs(ids=_IDS, mask=mask, types=None, length=options.length, padding=_PADDING)
    spec = text.spec
    padding = text.tokenizer.padding
    return _Inputs(ids=text.ids, mask=spec.mask, types=spec.types, length=spec.length, padding=padding)
