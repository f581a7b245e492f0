"""The other end of one command of the agent: a host that drives the real process over pipes."""

import contextlib
import json
import signal
import subprocess
from dataclasses import dataclass
from typing import BinaryIO


@dataclass
class Answer:
    """How a run of the agent ended."""

    code: int
    document: dict | None
    stderr: str
    wanted: list | None = None

    @property
    def error(self):
        return self.document["error"]


def read_content(content, offset):
    if isinstance(content, bytes):
        yield content[offset:]
        return
    with content.open("rb") as file:
        file.seek(offset)
        while block := file.read(1 << 20):
            yield block


@dataclass
class Host:
    """The other end of one `install`: a process, and what it wanted."""

    process: subprocess.Popen
    stderr: BinaryIO
    wanted: list | None = None
    first_line: bytes = b""

    def offer(self, bundle):
        """Send the offer and read what the board wants; None where it ended instead."""
        self.send_offer(bundle)
        return self.read_wanted()

    def send_offer(self, bundle):
        header = {
            "protocol": 1,
            "manifest_bytes": len(bundle.manifest_bytes),
            "signature_bytes": len(bundle.signature_bytes),
        }
        with contextlib.suppress(BrokenPipeError):  # the agent ended already
            self.process.stdin.write(json.dumps(header).encode() + b"\n")
            self.process.stdin.write(bundle.manifest_bytes + bundle.signature_bytes)
            self.process.stdin.flush()

    def read_wanted(self):
        self.first_line = self.process.stdout.readline()
        document = json.loads(self.first_line) if self.first_line else {}
        self.wanted = document.get("wanted")
        return self.wanted

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def send(self, bundle, limit_bytes=None):
        """Send what is wanted, or only its first bytes."""
        left = limit_bytes
        with contextlib.suppress(BrokenPipeError):  # the agent ended, which is what the test is about
            for item in self.wanted or ():
                for block in read_content(bundle.files[item["path"]], item["offset"]):
                    part = block if left is None else block[:left]
                    self.process.stdin.write(part)
                    left = None if left is None else left - len(part)
            self.process.stdin.flush()

    def finish(self):
        """Hang up and return how the agent ended."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        rest = self.process.stdout.read()
        code = self.process.wait()
        self.process.stdout.close()
        line = rest or (self.first_line if self.wanted is None else b"")
        self.stderr.seek(0)
        stderr = self.stderr.read().decode()
        self.stderr.close()
        return Answer(code, json.loads(line) if line else None, stderr, self.wanted)
