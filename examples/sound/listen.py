"""Tells what is heard in a WAV file.

    python listen.py ROOT FILE.wav [--classes FILE] [--rate 16000]

Needs edge-toolchain-app alone. The model on the board takes a stretch of sound, (n, ..., samples), as int16 or as float32
from -1 to 1, and answers with a score for each class. The file is heard in stretches, each beginning in the middle of the
one before; of the last one what is missing is silence.
"""

from __future__ import annotations

import argparse
import sys
import wave
from pathlib import Path
from typing import Any, Iterator, Tuple

import numpy as np
from edge_app import ToolchainError, open_current


def read_wav(path: str, rate_hz: int) -> Any:
    """Return the samples (n,) as int16, all channels mixed into one."""
    with wave.open(path, "rb") as file:
        width, rate, channels = file.getsampwidth(), file.getframerate(), file.getnchannels()
        if (width, rate) != (2, rate_hz):
            message = f"{path}: expected 16 bits at {rate_hz} Hz, found {8 * width} bits at {rate} Hz"
            raise SystemExit(message)
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return np.round(samples.reshape(-1, channels).mean(axis=1)).astype(np.int16)


def cut(samples: Any, length: int) -> Iterator[Tuple[int, Any]]:
    """Yield where each stretch begins, and its samples."""
    for begin in range(0, max(len(samples) - length // 2, 1), length // 2):
        stretch = samples[begin : begin + length]
        yield begin, np.pad(stretch, (0, length - len(stretch)))


def main() -> int:
    """Return the exit code: 0, or that of the error (docs/boards.md)."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root")
    parser.add_argument("file")
    parser.add_argument("--classes", type=Path, help="a name a line")
    parser.add_argument("--rate", type=int, default=16_000)
    given = parser.parse_args()
    names = given.classes.read_text(encoding="utf-8").splitlines() if given.classes else []
    try:
        with open_current(given.root) as model:
            spec = model.inputs[0]
            samples = read_wav(given.file, given.rate)
            if spec.dtype == "float32":
                samples = samples.astype(np.float32) / 32768
            for begin, stretch in cut(samples, int(spec.shape[-1] or given.rate)):
                answers = model(stretch.reshape(1, *(size or 1 for size in spec.shape[1:-1]), -1))
                scores = next(iter(answers.values()))[0]
                best = int(scores.argmax())
                name = names[best] if best < len(names) else f"class {best}"
                print(f"{begin / given.rate:7.2f} s  {name}  {scores[best]:.3f}")  # noqa: T201
    except ToolchainError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return int(error.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
