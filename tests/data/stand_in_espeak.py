"""A stand-in for espeak-ng: a program of that name on the path, which says a tone of its own for everything it is asked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from toolchain.data.spoken_words import _TEST_VOICES, _TRAIN_VOICES

VOICES = (*_TRAIN_VOICES, *_TEST_VOICES)

_SPEAKS = """
import array, math, struct, sys, zlib
pitch = 200 + zlib.crc32(" ".join(sys.argv[1:]).encode()) % 1500
count = 5000 + pitch
sound = array.array("h", [0] * 800 + [int(9000 * math.sin(pitch * n / 3500)) for n in range(count)] + [0] * 800)
data = sound.tobytes()
sys.stdout.buffer.write(struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0x7FFFF024, b"WAVE", b"fmt ", 16, 1, 1, 22050, 44100, 2, 16,
    b"data", 0x7FFFF000) + data)
"""


def put_on_path(folder: Path, monkeypatch, *, speaks: str = _SPEAKS, voices=VOICES, version: str = "1.51") -> Path:
    """Write the program into the folder and let it be found first; speaks: what it runs where it is to speak."""
    listed = "\n".join(f" 5  variant  --/M  {voice}  !v/{voice}  " for voice in voices)
    head = f"#!{sys.executable} -SE\nimport sys\n"
    ask = (
        f"if sys.argv[1] == '--version': print('eSpeak NG text-to-speech: {version}  Data at: /there'); sys.exit()\n"
        f"if sys.argv[1] == '--voices=variant': print({listed!r}); sys.exit()\n"
    )
    program = folder / "espeak-ng"
    program.write_text(head + ask + speaks)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return program
