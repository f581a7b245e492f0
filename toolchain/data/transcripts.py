"""The texts of sounds: a file texts.tsv beside them, a line for each: its path, a tab, what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.agent.measure.targets import Ragged
from toolchain.data.faults import Faults, Kind
from toolchain.data.lines import stream_lines
from toolchain.data.ragged_texts import join_texts

FILE = "texts.tsv"

_NO_ROW = Kind("a line that is no text of a sound", "write PATH, a tab and the text, which is not empty")
_NOT_THERE = Kind("a text of a sound that is not there", "bring the sound, or remove the line")
_TWICE = Kind("a sound that is listed twice", "keep one of its lines")
_NO_TEXT = Kind("a sound without a text", f"add a line to {FILE}, or remove the sound")


@dataclass(frozen=True)
class Transcripts:
    """Sounds and their texts, in the order of the lines."""

    paths: list[Path]
    values: Ragged
    """The bytes of UTF-8 of each text."""


def read_transcripts(folder: Path, sounds: Sequence[Path], faults: Faults) -> Transcripts:
    """Return the texts of the sounds of a folder; what does not fit goes to the faults.

    Paths in the file are looked up among the sounds, so that none leads elsewhere. Raises ToolchainError as stream_lines.
    """
    file = folder / FILE
    known = {path.relative_to(folder).as_posix(): path for path in sounds}
    found: dict[Path, str] = {}
    for number, line in enumerate(stream_lines(file), start=1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        name, tab, text = line.rstrip("\r\n").partition("\t")
        path = known.get(name)
        if not tab or not text.strip():
            faults.add(_NO_ROW, place, expected="PATH, a tab, a text", found=line.rstrip("\r\n"))
        elif path is None:
            faults.add(_NOT_THERE, place, expected=f"a WAV file of {folder}", found=name)
        elif path in found:
            faults.add(_TWICE, place, expected="one line for each", found=name)
        else:
            found[path] = text.strip()
    for path in sounds:
        if path not in found:
            faults.add(_NO_TEXT, str(path), expected=f"a line in {file}", found="none")
    return Transcripts(paths=list(found), values=join_texts([text.encode() for text in found.values()]))
