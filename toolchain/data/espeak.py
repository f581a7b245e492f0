"""What espeak-ng says: a program of the system that speaks a text in one of its voices, the same samples every time."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import ToolchainError, malformed, missing

RATE_HZ = 22_050
"""Of all of its voices but those of MBROLA, which are none of ours."""

_PROGRAM = "espeak-ng"
_FIX = "apt install espeak-ng, or deploy with spoken_words_small, which needs none"
# A word takes 0.02 s; a machine that is busy with everything else a second.
_TIMEOUT_S = 30
# Of a word of a second 44 kB come out: whoever says more says no word.
_OUTPUT_BYTES_MAX = 1 << 20
# "RIFF", "WAVE", the chunk "fmt " with 16 bytes: PCM, mono, the rate, bytes a second and a sample, bits; and "data" (Multimedia
# Programming Interface and Data Specifications 1.0, chapter 2). The lengths are those of a stream: nobody knows them yet.
_HEAD_BYTES = 44
_FORMAT = b"".join(
    number.to_bytes(size, "little")
    for number, size in ((1, 2), (1, 2), (RATE_HZ, 4), (2 * RATE_HZ, 4), (2, 2), (16, 2))
)


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """What is to be said, and how."""

    text: str
    language: str
    """An accent, such as en-gb-scotland."""
    variant: str
    """Whose voice: a file of espeak-ng's voices/!v."""
    words_per_minute: int
    pitch: int
    """0 to 99."""


def speak(utterance: Utterance) -> NDArray[np.int16]:
    """Return the samples `(n,)`, 22,050 a second.

    Raises ToolchainError: exit 3 where espeak-ng or the voice is not there, exit 23 where what comes out is no sound.
    """
    check_variants([utterance.variant])
    voice = f"{utterance.language}+{utterance.variant}"
    options = ["-v", voice, "-s", str(utterance.words_per_minute), "-p", str(utterance.pitch)]
    output = _run([*options, "--stdout", "--", utterance.text])
    head, body = output[:_HEAD_BYTES], output[_HEAD_BYTES:]
    if head[:4] != b"RIFF" or head[20:36] != _FORMAT or head[36:40] != b"data" or not body or len(body) % 2:
        raise malformed(
            "espeak-ng does not say what it should",
            where=f"{_PROGRAM} -v {voice} {utterance.text!r}",
            expected=f"PCM of 16 bits, one channel and {RATE_HZ} Hz",
            found=f"{len(output)} bytes, beginning with {head[:_HEAD_BYTES].hex()}",
            fix=f"install espeak-ng again: {_FIX}",
        )
    return np.frombuffer(body, dtype="<i2")


def check_variants(variants: Sequence[str]) -> None:
    """Refuse (exit 3) variants that this espeak-ng does not have: it would speak in another voice, and say nothing of it."""
    known = _list_variants(find_program())
    lacking = [variant for variant in variants if variant not in known]
    if lacking:
        raise missing(
            f"espeak-ng has no voice {', '.join(lacking)}",
            where=f"{_PROGRAM} --voices=variant",
            fix=f"install version 1.51 or newer: {_FIX}",
        )


def find_program() -> str:
    """Return where espeak-ng is; raises ToolchainError (exit 3) where it is not there."""
    found = shutil.which(_PROGRAM)
    if found is None:
        raise missing("espeak-ng is not installed", where=_PROGRAM, fix=_FIX)
    return found


def read_version() -> str:
    """Return what espeak-ng says of itself, without where its data lies."""
    return _run(["--version"]).decode(errors="replace").split("Data at")[0].strip()


@functools.cache
def _list_variants(program: str) -> frozenset[str]:
    """Return the variants of the program there."""
    del program
    lines = _run(["--voices=variant"]).decode(errors="replace").splitlines()
    return frozenset(line.split("!v/")[1].split("  ")[0].strip() for line in lines if "!v/" in line)


def _run(arguments: Sequence[str]) -> bytes:
    """Return what the program prints; its output goes through a file, so that no amount of it takes memory."""
    command = [find_program(), *arguments]
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _refuse(command, str(error)) from error
        output.seek(0)
        found = output.read(_OUTPUT_BYTES_MAX + 1)
    if done.returncode != 0 or len(found) > _OUTPUT_BYTES_MAX:
        said = done.stderr[:300].decode(errors="replace").strip()
        raise _refuse(command, f"exit {done.returncode} and {len(found)} bytes: {said}")
    return found


def _refuse(command: Sequence[str], found: str) -> ToolchainError:
    return malformed(
        "espeak-ng failed",
        where=" ".join(command),
        expected=f"at most {_OUTPUT_BYTES_MAX} bytes of sound or text, in {_TIMEOUT_S} s",
        found=found,
        fix=f"run the command yourself, and install espeak-ng again: {_FIX}",
    )
