"""A few examples of each reader of outside bytes; `make fuzz` tries them for minutes."""

import os
import signal
import subprocess
import sys

import pytest

from tests.fuzz.fuzzing import fuzz
from tests.fuzz.reader import Broken, Reader, read
from tests.fuzz.readers import READERS
from toolchain.errors import ExitCode, malformed, missing

_EXAMPLES = 40
_SLOW_EXAMPLES = 3


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_good_bytes_are_read(reader, tmp_path):
    for index, data in enumerate(reader.seeds):
        folder = tmp_path / str(index)
        folder.mkdir()
        reader.read(data, folder)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_any_bytes_end_in_a_value_or_in_a_refusal(reader):
    fuzz(reader, examples=_SLOW_EXAMPLES if reader.is_slow else _EXAMPLES, number=0)


# What broke a reader once, or the like of it: nesting beyond what Python's parsers follow, numbers beyond every type.
_HARD = (
    b"",
    b"[" * 5000,
    b'{"a":' * 5000,
    b"a = " + b"[" * 5000,
    b"9" * 5000,
    b"a = " + b"9" * 5000,
    b"a." * 50_000 + b"a = 1",
    b"a = 0x" + b"f" * 100_000,
    b'{"exit_code": 1e999}',
    b'"\\ud800"',
    b'{"exit_code": "\\ud800", "record": {}}',
)


@pytest.mark.parametrize("reader", [reader for reader in READERS if not reader.is_slow], ids=lambda reader: reader.name)
def test_hard_bytes_end_in_a_value_or_in_a_refusal(reader, tmp_path):
    for index, data in enumerate(_HARD):
        (tmp_path / str(index)).mkdir()
        read(reader, data, tmp_path / str(index))


def make_reader(function):
    return Reader(name="made up", read=function, seeds=(b'{"length": 4}',), codes=frozenset({ExitCode.MALFORMED}))


def raise_key_error(data, folder):
    if b"length" not in data:
        raise KeyError("length")


def refuse_with_another_code(data, folder):
    if b"length" not in data:
        raise missing("no length", fix="none")


def write_outside(data, folder):
    if b"length" not in data:
        (folder.parent / "outside.tmp").touch()
        (folder.parent / "outside.tmp").unlink()


@pytest.mark.parametrize("function", [raise_key_error, refuse_with_another_code, write_outside])
def test_a_broken_reader_is_caught(function):
    with pytest.raises(Broken):
        fuzz(make_reader(function), examples=200, number=0)


# In a process of its own: what interrupts it would interrupt, or end, whatever runs beside it.
HANGS = """
import time
from pathlib import Path
from tests.fuzz.reader import Reader, read
read(Reader("made up", lambda data, folder: time.sleep(600), (), frozenset()), b"", Path(), hang_s=0.1)
"""


def test_a_reader_that_hangs_is_caught(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", HANGS], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Broken: made up: TimeoutError: no end after 0.1 s" in done.stderr


def test_an_alarm_that_rings_late_interrupts_nothing_and_none_is_left_behind(tmp_path):
    handlers = []
    before = signal.getsignal(signal.SIGALRM)
    read(make_reader(lambda data, folder: handlers.append(signal.getsignal(signal.SIGALRM))), b"", tmp_path)
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    handlers[0](signal.SIGALRM, None)


def test_a_reader_that_refuses_and_writes_inside_is_none_of_those():
    def refuse(data, folder):
        (folder / "copy").write_bytes(data)
        raise malformed("always")

    fuzz(make_reader(refuse), examples=20, number=0)
