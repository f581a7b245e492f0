"""WAV files as samples of one channel, read within limits by libsndfile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import malformed, usage
from toolchain.run.regular_file import open_regular

if TYPE_CHECKING:
    from soundfile import SoundFile

# "RIFF", the bytes that follow, "WAVE" (Multimedia Programming Interface and Data Specifications 1.0, chapter 2). The other
# formats of libsndfile are never asked to parse anything.
_HEAD_BYTES = 12
# Samples as they are, and the two laws of telephones (G.711); compressed ones have decoders that few others test.
_KINDS = frozenset({"PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})


# Of floats. A mix may be over full scale, by 30 dB at the very most; numbers of 16 bits stored as floats are by 90.
_PEAK_MAX = 32.0


@dataclass(frozen=True)
class Sound:
    """What the header of a file says."""

    rate_hz: int
    channels: int
    samples: int


def read_header(path: Path) -> Sound:
    """Return what the header of a WAV file says; raises ToolchainError (exit 23) for one that is none, or cut off."""
    with _open(path) as sound:
        return Sound(rate_hz=sound.samplerate, channels=sound.channels, samples=sound.frames)


def read_sound(path: Path, length: int) -> NDArray[np.float32]:
    """Return the first so many samples of a file of one channel, in [-1, 1], with zeros behind its end: `(length,)`.

    Raises ToolchainError: exit 23 as read_header does, exit 2 for floats that are no numbers, or far beyond full scale.
    """
    with _open(path) as sound:
        found = sound.read(frames=length, dtype="float32", always_2d=True)[:, 0]
    if not np.isfinite(found).all():
        raise usage(
            "the sound holds NaN or infinity",
            where=str(path),
            expected="finite samples",
            found=f"sample {int(np.flatnonzero(~np.isfinite(found))[0])} is none",
            fix="write the file again, or remove it",
        )
    if (peak := float(np.abs(found).max(initial=0))) > _PEAK_MAX:
        raise usage(
            "the sound is not in [-1, 1]",
            where=str(path),
            expected="floats of which full scale is 1",
            found=f"a peak of {peak:g}",
            fix="divide the samples by their full scale, such as 32768, or write them as 16-bit numbers",
        )
    return np.pad(found, (0, length - len(found)))


@contextmanager
def _open(path: Path) -> Iterator[SoundFile]:
    import soundfile

    try:
        with open_regular(path) as file:
            _check_head(file.read(_HEAD_BYTES), os.fstat(file.fileno()).st_size)
            file.seek(0)
            with soundfile.SoundFile(file) as sound:
                _check_kind(sound.subtype)
                yield sound
    except (OSError, ValueError, soundfile.SoundFileError) as error:
        raise malformed(
            "the sound is corrupt, or no WAV",
            where=str(path),
            expected="a whole WAV file of samples that are not compressed",
            found=(error.strerror if isinstance(error, OSError) else None)
            or getattr(error, "error_string", None)
            or str(error),
            fix="copy it again, or convert it: sox OLD -e signed-integer -b 16 NEW.wav",
        ) from error


def _check_head(head: bytes, size_bytes: int) -> None:
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        raise ValueError("a file that does not begin as a WAV")
    declared = int.from_bytes(head[4:8], "little") + 8
    if declared > size_bytes:
        raise ValueError(f"{size_bytes:,} bytes, and its header declares {declared:,}")


def _check_kind(kind: str) -> None:
    if kind not in _KINDS:
        raise ValueError(f"samples as {kind}")
