"""Sentences of espeak-ng's voices with silence and noise between them, for silero-vad: a sample is one step of its recurrence.

The state of a step is what the float model made of the steps before, so that each step is judged by itself.
"""

from __future__ import annotations

import io
import subprocess
import wave
from pathlib import Path

import numpy as np
import onnxruntime
from scipy.signal import resample_poly

from benchmarks.others.packages import SILERO, read_packed

_RATE_HZ, _STEP, _CONTEXT = 16_000, 512, 64
_VOICES = ("en", "de", "fr", "it", "es", "pt")
_SENTENCES = (
    "open the third door on the left", "water level is too high", "seven hundred and forty two", "please stop the motor now",
    "the next train leaves at noon", "who has seen the green book", "turn it off", "count down from ten to zero",
)  # fmt: skip


def make(folder: Path, wheels: Path) -> dict[str, str]:
    """Write model and data; the recipe stays as it is."""
    model = read_packed(SILERO, "silero_vad/data/silero_vad_16k_op15.onnx", wheels=wheels)
    (folder / "model.onnx").write_bytes(model)
    session = onnxruntime.InferenceSession(model)
    for part, count, seed in (("calibrate", 5, 0), ("evaluate", 12, 1)):
        generator = np.random.default_rng(seed)
        parts = [_step_through(session, *_draw_sound(generator)) for _ in range(count)]
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        np.savez(folder / f"{part}.npz", **arrays)
    return {}


def _step_through(
    session: onnxruntime.InferenceSession, sound: np.ndarray, spoken: np.ndarray
) -> dict[str, np.ndarray]:
    """Return every step of a sound: its input with the context before it, the state, and whether somebody speaks."""
    state = np.zeros((2, 1, 128), np.float32)
    padded = np.concatenate([np.zeros(_CONTEXT, np.float32), sound])
    steps: dict[str, list[np.ndarray]] = {"input": [], "state": [], "sr": [], "labels": []}
    for start in range(0, len(sound) - _STEP + 1, _STEP):
        feed = {
            "input": padded[None, start : start + _CONTEXT + _STEP],
            "state": state,
            "sr": np.array(_RATE_HZ, np.int64),
        }
        for name, array in feed.items():
            steps[name].append(array)
        steps["labels"].append(np.array(spoken[start : start + _STEP].mean() > 0.5, np.int64))
        state = session.run(["stateN"], feed)[0]
    return {name: np.stack(arrays) for name, arrays in steps.items()}


def _draw_sound(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a sound of about ten seconds, and for each sample whether somebody speaks."""
    pieces, spoken = [], []
    for _ in range(4):
        pause = int(generator.uniform(0.8, 1.8) * _RATE_HZ)
        voice = _speak(generator)
        pieces += [np.zeros(pause, np.float32), voice]
        spoken += [np.zeros(pause, bool), np.ones(len(voice), bool)]
    clean = np.concatenate(pieces) * generator.uniform(0.2, 0.9)
    noise = generator.normal(scale=10 ** generator.uniform(-3.5, -2.2), size=len(clean))
    return (clean + noise).astype(np.float32), np.concatenate(spoken)


def _speak(generator: np.random.Generator) -> np.ndarray:
    """Return a sentence without the silence around it, its peak at 1."""
    voice = f"{generator.choice(_VOICES)}+{generator.choice(['m1', 'm3', 'f2', 'f4'])}"
    command = ["espeak-ng", "-v", voice, "-s", str(generator.integers(120, 200)), "-p", str(generator.integers(25, 75))]
    done = subprocess.run([*command, "--stdout", str(generator.choice(_SENTENCES))], check=True, capture_output=True)
    with wave.open(io.BytesIO(done.stdout)) as file:
        rate_hz = file.getframerate()
        # espeak-ng does not know how long it will be, and says so in the header.
        samples = np.frombuffer(done.stdout[44:], np.int16).astype(np.float32)
    sound = resample_poly(samples, _RATE_HZ, rate_hz)
    sound /= np.abs(sound).max()
    loud = np.flatnonzero(np.abs(sound) > 0.03)
    return sound[loud[0] : loud[-1]].astype(np.float32)
