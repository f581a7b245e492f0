"""What espeak-ng is asked, and what comes of one that is missing, silent, endless or another one."""

import shutil

import numpy as np
import pytest

from tests.data.stand_in_espeak import put_on_path
from toolchain.data import espeak
from toolchain.data.espeak import Utterance
from toolchain.errors import ExitCode, ToolchainError

STOP = Utterance(text="stop", language="en-us", variant="f2", words_per_minute=175, pitch=50)


def refuse(code, call, *arguments):
    with pytest.raises(ToolchainError) as caught:
        call(*arguments)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)
    return caught.value


def test_every_part_of_an_utterance_is_asked_for(tmp_path, monkeypatch):
    says = "import sys\nopen(__file__ + '.asked', 'w').write('\\n'.join(sys.argv[1:]))\nsys.exit(3)\n"
    program = put_on_path(tmp_path, monkeypatch, speaks=says)
    refuse(ExitCode.MALFORMED, espeak.speak, STOP)
    asked = program.with_name("espeak-ng.asked").read_text().splitlines()
    assert asked == ["-v", "en-us+f2", "-s", "175", "-p", "50", "--stdout", "--", "stop"]


def test_it_says_the_same_every_time_and_other_words_otherwise(tmp_path, monkeypatch):
    put_on_path(tmp_path, monkeypatch)
    first, again = espeak.speak(STOP), espeak.speak(STOP)
    assert first.dtype == np.int16
    assert np.array_equal(first, again)
    other = espeak.speak(Utterance(text="go", language="en-us", variant="f2", words_per_minute=175, pitch=50))
    assert not np.array_equal(first, other)


def test_one_that_is_not_installed_is_exit_3_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for call in (lambda: espeak.speak(STOP), espeak.read_version):
        error = refuse(ExitCode.MISSING, call)
        assert "apt install espeak-ng" in error.fix
        assert "spoken_words_small" in error.fix


def test_a_voice_that_it_does_not_have_is_exit_3_and_not_spoken_in_another_one(tmp_path, monkeypatch):
    put_on_path(tmp_path, monkeypatch, voices=("m1", "f1"))
    assert "f2" in refuse(ExitCode.MISSING, espeak.speak, STOP).what
    espeak.check_variants(["m1", "f1"])


@pytest.mark.parametrize(
    "speaks",
    [
        "sys.exit(0)",
        "sys.stdout.write('no sound')",
        "sys.stdout.buffer.write(bytes(20000))",
        "print('out of memory', file=sys.stderr); sys.exit(1)",
        "while True: sys.stdout.buffer.write(bytes(1 << 20)) if sys.stdout.tell() < 1 << 23 else sys.exit(0)",
    ],
    ids=["nothing", "text", "zeros", "failed", "too much"],
)
def test_what_is_no_sound_is_exit_23_with_the_command(tmp_path, monkeypatch, speaks):
    put_on_path(tmp_path, monkeypatch, speaks=speaks)
    assert "en-us+f2" in refuse(ExitCode.MALFORMED, espeak.speak, STOP).where


def test_one_that_never_ends_is_ended(tmp_path, monkeypatch):
    put_on_path(tmp_path, monkeypatch, speaks="import time; time.sleep(600)")
    monkeypatch.setattr(espeak, "_TIMEOUT_S", 0.5)
    assert "timed out" in refuse(ExitCode.MALFORMED, espeak.speak, STOP).found


def test_another_version_is_told_from_this_one_and_the_place_of_its_data_does_not_matter(tmp_path, monkeypatch):
    put_on_path(tmp_path, monkeypatch, version="1.52")
    assert espeak.read_version() == "eSpeak NG text-to-speech: 1.52"


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_espeak_ng_itself_speaks_a_word():
    sound = espeak.speak(STOP)
    assert np.array_equal(sound, espeak.speak(STOP))
    assert 0.2 < len(sound) / espeak.RATE_HZ < 1.5
    assert np.abs(sound).max() > 3000
