"""Twelve words, spoken by the voices of espeak-ng in eight accents of English, fast and slow, high and low, in noise.

Whose voice is heard in the test is heard nowhere in the training. espeak-ng has to be on the machine (apt install espeak-ng);
spoken_words_small needs none.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toolchain.agent.measure.targets import LABELS
from toolchain.data import espeak, telephone
from toolchain.data.dataset import Dataset, hash_files
from toolchain.data.espeak import Utterance
from toolchain.data.made import MadeSamples
from toolchain.project.toml_file import Section, check_table

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "start", "help")
LICENCE = "made by this module; nothing of espeak-ng (GPL 3) is in what it says"

_INPUT = "input"
# Those of espeak-ng 1.51 that are people, robots and whisperers of their own: klatt6 and caleb sound as klatt does.
_TRAIN_VOICES = (
    *("m1", "m2", "m3", "m4", "m5", "m6", "f1", "f2", "f3", "f4", "klatt", "klatt2", "klatt3", "klatt4", "klatt5"),
    *("Alex", "Andy", "Annie", "AnxiousAndy", "Demonic", "Denis", "Gene", "Gene2", "Henrique", "Jacky", "Lee", "Marco"),
    *(
        "Mario",
        "Michael",
        "Mike",
        "Nguyen",
        "RicishayMax",
        "RicishayMax2",
        "RicishayMax3",
        "Storm",
        "Tweaky",
        "UniRobot",
    ),
    *("adam", "anika", "anikaRobot", "announcer", "antonio", "aunty", "belinda", "benjamin", "boris", "croak", "david"),
    *(
        "ed",
        "edward",
        "edward2",
        "grandma",
        "gustave",
        "iven",
        "iven2",
        "iven3",
        "iven4",
        "john",
        "kaukovalta",
        "miguel",
    ),
    *("pablo", "pedro", "rob", "robert", "robosoft", "robosoft2", "robosoft3", "robosoft4", "robosoft5", "robosoft6"),
    *("robosoft7", "robosoft8", "steph", "steph2", "steph3", "whisper", "whisperf"),
)
_TEST_VOICES = (
    *("m7", "m8", "f5", "Alicia", "Andrea", "Diogo", "Hugo", "grandpa", "linda", "marcelo"),
    *("max", "michel", "norbert", "paul", "quincy", "sandro", "shelby", "travis", "victor", "zac"),
)
_LANGUAGES = (
    *("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc"),
)
# From slow and clear to in a hurry: 175 is what espeak-ng itself takes, and 50 its pitch.
_WORDS_PER_MINUTE = (120, 220)
_PITCHES = (25, 75)
# Throats longer and shorter than those of the voices: what is learnt from is played slower or faster than the 22.05 kHz that
# it has (speed perturbation, Ko et al. 2015, Interspeech).
_PLAYED_KHZ = (17, 30)
# So many words are spoken for the hash, which then sees another espeak-ng whose version is the same.
_HASHED = 8


class Options(Section):
    """How many sounds each part has, one utterance each."""

    train_samples: Annotated[int, Field(ge=16)] = 12_000
    test_samples: Annotated[int, Field(ge=16)] = 1_200


def load(options: Mapping[str, Any]) -> Dataset:
    """Return the sounds as float32 `(N, 16000)`, a second each of 16,000 Hz, in [-1, 1]; exit 3 without espeak-ng."""
    chosen = check_table(Options, options, what="the options of spoken_words", where="data.options")
    espeak.check_variants([*_TRAIN_VOICES, *_TEST_VOICES])
    train = _make_part("train", chosen.train_samples)
    return Dataset(
        name="spoken_words",
        train=train,
        calibration=train,
        evaluation=_make_part("test", chosen.test_samples),
        classes=WORDS,
        licence=LICENCE,
    )


def speak_word(part: str, index: int) -> NDArray[np.uint8]:
    """Return the word of a sample as telephone.keep_word does: words and voices by turns, the rest is drawn."""
    rng = np.random.default_rng([zlib.crc32(f"{part} utterance".encode()), index])
    sound = espeak.speak(_choose_utterance(part, index, rng))
    played_hz = espeak.RATE_HZ if part == "test" else 1000 * int(rng.integers(*_PLAYED_KHZ, endpoint=True))
    return telephone.keep_word(sound, played_hz)


def make_samples(what: str, count: int, read: Callable[[int], NDArray[np.uint8]], sha256: str) -> MadeSamples:
    """Return so many seconds of noise with words in them; read: the kept word of a sample by its number."""

    def make(index: int) -> dict[str, NDArray[Any]]:
        rng = np.random.default_rng([zlib.crc32(what.encode()), index])
        return {_INPUT: telephone.say_in_noise(read(index), rng)}

    return MadeSamples(
        count=count,
        make=make,
        targets={LABELS: np.arange(count, dtype=np.int64) % len(WORDS)},
        sha256=sha256,
        finish=lambda sounds: (sounds / np.float32(32768)).astype(np.float32),
    )


def _make_part(part: str, count: int) -> MadeSamples:
    what = f"spoken_words {part} {count}: numpy {np.__version__}, {espeak.read_version()}"
    return make_samples(
        part,
        count,
        lambda index: speak_word(part, index),
        hash_files(f"{what}, {_hash_first(part, espeak.find_program())}", [Path(__file__), Path(telephone.__file__)]),
    )


@functools.cache
def _hash_first(part: str, program: str) -> str:
    """Return the sha256 of the first words of a part, as the program there speaks them."""
    del program
    return hashlib.sha256(b"".join(speak_word(part, index).tobytes() for index in range(_HASHED))).hexdigest()


def _choose_utterance(part: str, index: int, rng: np.random.Generator) -> Utterance:
    voices: Sequence[str] = _TRAIN_VOICES if part == "train" else _TEST_VOICES
    return Utterance(
        text=WORDS[index % len(WORDS)],
        language=_LANGUAGES[rng.integers(len(_LANGUAGES))],
        variant=voices[index // len(WORDS) % len(voices)],
        words_per_minute=int(rng.integers(*_WORDS_PER_MINUTE, endpoint=True)),
        pitch=int(rng.integers(*_PITCHES, endpoint=True)),
    )
