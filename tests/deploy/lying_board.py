"""A board that says what a test wants: a connection that plays back the answers of an honest one, changed."""

import json
import subprocess
import sys

from tests.native_board import AGENT_PYTHON
from toolchain.deploy.board import Board

_STALL_S = 30

_PLAY = """\
import sys
sys.stdout.buffer.write(open(sys.argv[1], "rb").read())
sys.stdout.flush()
sys.exit(int(sys.argv[2]))
"""


class Shell:
    """A connection to this machine's own shell."""

    place = "here"

    def open(self):
        pass

    def close(self):
        pass

    def start(self, command):
        pipe = subprocess.PIPE
        return subprocess.Popen(["sh", "-c", command], stdin=pipe, stdout=pipe, stderr=pipe)


class Playback(Shell):
    """A connection to a board that answers every command with the bytes of a file, and ends with this exit code."""

    def __init__(self, path, code=0):
        self._arguments = [sys.executable, "-S", "-c", _PLAY, str(path), str(code)]

    def start(self, command):
        pipe = subprocess.PIPE
        return subprocess.Popen(self._arguments, stdin=pipe, stdout=pipe, stderr=pipe)


class Endless(Shell):
    """A connection to a board that does not stop talking."""

    def __init__(self, command):
        self._command = command

    def start(self, command):
        return super().start(self._command)


def make_board(connection, root="nowhere"):
    return Board(connection, root=str(root), python=AGENT_PYTHON, stall_s=_STALL_S)


def write_lines(path, *documents):
    """Write documents as the lines that a board says; bytes are written as they are."""
    lines = [item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n" for item in documents]
    path.write_bytes(b"".join(lines))
    return path
