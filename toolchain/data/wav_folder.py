"""WAV files: in a folder for each class, or with a text for each file; of one rate, one channel and one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from toolchain.agent.measure.targets import LABELS, TargetArray
from toolchain.data.class_folders import Files, list_class_files, list_classes
from toolchain.data.dataset import Dataset, hash_files, hash_stats
from toolchain.data.faults import Faults, Kind, refuse_without
from toolchain.data.file_samples import FileSamples
from toolchain.data.list_files import list_files
from toolchain.data.read_sound import read_header, read_sound
from toolchain.data.transcripts import FILE, read_transcripts
from toolchain.errors import ToolchainError
from toolchain.project.data_path import DataPath
from toolchain.project.toml_file import Section, check_table

_SOUNDS = Files(what="a sound", plural="WAV files", suffixes=frozenset({".wav"}))
# A minute of 192 kHz and more; a batch of 50 takes 3 GB.
_LENGTH_MAX = 1 << 24

_UNREADABLE = Kind(
    "a sound that cannot be read", "copy it again, or convert it: sox OLD -e signed-integer -b 16 NEW.wav"
)
_OTHER_RATE = Kind("a sound of another rate", "convert it: sox OLD -r RATE NEW.wav, or correct data.options.rate_hz")
_CHANNELS = Kind("a sound of several channels", "keep one: sox OLD NEW.wav remix 1")
_CUT = Kind(
    "a sound longer than the model's input, with a text of all of it",
    "raise data.options.length_samples, or cut sound and text",
)
_EMPTY = Kind("a sound without a sample", "remove the file")


class Options(Section):
    """Where the sounds are, and what the model expects of them."""

    folder: DataPath
    rate_hz: Annotated[int, Field(ge=1)]
    """Of every file; another one is refused."""
    length_samples: Annotated[int, Field(ge=1, le=_LENGTH_MAX)]
    """Of the model's input: longer sounds are cut at their end, or refused where they have texts; shorter ones get zeros
    there."""
    targets: Literal["classes", "texts"] = "classes"
    """Whether the folders in train and test are classes, or a file texts.tsv there has a text for each sound."""


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the sounds, with their classes or their texts."""
    chosen = check_table(Options, options, what="the options of wav_folder", where="data.options")
    folder, faults = Path(chosen.folder), Faults()
    classes = list_classes(folder, _SOUNDS) if chosen.targets == "classes" else None
    train, evaluation = (_make_part(folder / part, classes, chosen, faults) for part in ("train", "test"))
    faults.refuse()
    return Dataset(
        name="wav_folder", train=train, calibration=train, evaluation=evaluation, classes=classes, licence=None
    )


def _make_part(folder: Path, classes: Sequence[str] | None, options: Options, faults: Faults) -> FileSamples:
    targets: dict[str, TargetArray] = {}
    if classes is not None:
        paths, targets[LABELS] = list_class_files(folder, classes, _SOUNDS)
        what = "wav_folder classes"
    else:
        texts = read_transcripts(folder, list_files(folder, _SOUNDS.suffixes, what="a sound"), faults)
        paths, targets["text"] = texts.paths, texts.values
        what = hash_files("wav_folder texts", [folder / FILE])
    for path in paths:
        _check_sound(path, options, faults)
    if classes is None and not faults:
        refuse_without(len(paths), what="text", where=str(folder / FILE))
    return FileSamples(
        paths=paths,
        targets=targets,
        sha256=hash_stats(f"{what} {folder.name}: {options.length_samples} of {options.rate_hz} Hz", folder, paths),
        read=partial(read_sound, length=options.length_samples),
    )


def _check_sound(path: Path, options: Options, faults: Faults) -> None:
    try:
        sound = read_header(path)
    except ToolchainError as error:
        faults.add(_UNREADABLE, str(path), expected=error.expected or "a WAV file", found=error.found or error.what)
        return
    if sound.rate_hz != options.rate_hz:
        faults.add(_OTHER_RATE, str(path), expected=f"{options.rate_hz} Hz", found=f"{sound.rate_hz} Hz")
    if sound.channels != 1:
        faults.add(_CHANNELS, str(path), expected="1 channel", found=f"{sound.channels}")
    if options.targets == "texts" and sound.samples > options.length_samples:
        faults.add(_CUT, str(path), expected=f"up to {options.length_samples} samples", found=f"{sound.samples}")
    if sound.samples == 0:
        faults.add(_EMPTY, str(path), expected="1 sample or more", found="none")
