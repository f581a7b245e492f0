"""A board that says what a test wants: a connection that plays back the answers of an honest one, changed."""

import json
import shlex
import subprocess
import sys

from tests.native_board import AGENT_PYTHON
from toolchain.deploy.board import Board

_STALL_S = 30

# Plays a list of acts: what a board says, and when. RUN_ID stands for the run_id of the command that it was given.
_PLAY = """\
import json, os, sys, time
run_id = sys.argv[2].encode()
def say(stream, text):
    data = memoryview(text.encode("latin-1").replace(b"RUN_ID", run_id))
    while data:
        data = data[os.write(stream, data):]
def take(count):
    while count:
        block = os.read(0, min(count, 65536))
        if not block:
            break
        count -= len(block)
def read_offer():
    line = b""
    while not line.endswith(b"\\n"):
        byte = os.read(0, 1)
        if not byte:
            return
        line += byte
    header = json.loads(line)
    take(header["manifest_bytes"] + header["signature_bytes"])
for act, *given in json.load(open(sys.argv[1])):
    if act == "say":
        say(*given)
    elif act == "say from":
        say(given[0], open(given[1], encoding="latin-1").read())
    elif act == "read offer":
        read_offer()
    elif act == "wait":
        time.sleep(*given)
    elif act == "repeat":
        stream, text, pause_s = given
        while True:
            say(stream, text)
            time.sleep(pause_s)
    elif act == "close":
        os.close(*given)
    elif act == "exit":
        sys.exit(*given)
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
    """A connection to a board that plays the acts in a file, whatever it is asked; or those of its command."""

    def __init__(self, path, **by_command):
        self._path = path
        self._by_command = by_command

    def start(self, command):
        words = shlex.split(command)
        run_id = words[words.index("--run-id") + 1]
        path = next((path for name, path in self._by_command.items() if name in words), self._path)
        pipe = subprocess.PIPE
        arguments = [sys.executable, "-S", "-c", _PLAY, str(path), run_id]
        return subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe)


def make_board(connection, root="nowhere", stall_s=_STALL_S):
    return Board(connection, root=str(root), python=AGENT_PYTHON, stall_s=stall_s)


def say(*documents, stream=1):
    """Return the act of saying documents, a line each; bytes are said as they are."""
    lines = [item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n" for item in documents]
    return ["say", stream, b"".join(lines).decode("latin-1")]


def write_acts(path, *acts):
    """Write what a board does, for a Playback."""
    path.write_text(json.dumps(acts))
    return path
