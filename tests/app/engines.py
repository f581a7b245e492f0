"""Boards whose verdict is about an engine of the stand-in of TensorRT (cpp/tensorrt/), and the program that is steered on them."""

import hashlib
import json
import os
import shutil
import subprocess

import numpy as np

_ANSWER = "import sys\nprint('proven')\nsys.exit(0)\n"
INPUT = "float32 gpu linear -1,3,8,8 1,3,8,8 4,3,8,8"
OUTPUT = "float32 gpu linear -1,4 - -"


def describe_engine(*, scale=2.0, bias=0.5, inputs=None, outputs=None, head="stand-in"):
    """Return the bytes of an engine that answers the first numbers of each sample, times `scale` plus `bias`."""
    lines = [head]
    lines += [f"input {name} {words}" for name, words in (inputs or {"input": INPUT}).items()]
    lines += [f"output {name} {words}" for name, words in (outputs or {"logits": OUTPUT}).items()]
    return "\n".join([*lines, f"affine {scale} {bias}", ""]).encode()


def compute_answers(frames, *, scale=2.0, bias=0.5):
    rows = frames.reshape(len(frames), -1)[:, :4]
    return rows * np.float32(scale) + np.float32(bias)


def add_engine_release(board, library, engine, *, name="built", runtime="tensorrt"):
    """Make a release of the active one whose verdict is about an engine; return its id, and leave it active.

    `library` is what the process has loaded. The board's agent says that it is proven: no agent has this TensorRT.
    """
    manifest = json.loads((board.release / "manifest.json").read_text())
    candidates = [{**item, "runtime": runtime} for item in manifest["candidates"]]
    data = json.dumps({**manifest, "candidates": candidates, "provenance": {"engine": name}}).encode()
    bundle_id, before = hashlib.sha256(data).hexdigest(), board.current
    shutil.copytree(board.release, board.root / "releases" / bundle_id, symlinks=True)
    (board.root / "releases" / bundle_id / "manifest.json").write_bytes(data)
    (board.root / "engines").mkdir(mode=0o700, exist_ok=True)
    path = board.root / f"engines/{name}.engine"
    path.write_bytes(engine)
    path.chmod(0o600)
    verdict = json.loads((board.root / "verdicts" / f"{before}.json").read_text())
    verdict["bundle_id"] = bundle_id
    verdict["shipped"]["runtime"] = verdict["environment"]["runtime"] = runtime
    verdict["engine"] = {
        "path": f"engines/{name}.engine",
        "sha256": hashlib.sha256(engine).hexdigest(),
        "size_bytes": len(engine),
    }
    verdict["environment"]["libraries"] = {"libnvinfer": hashlib.sha256(library.read_bytes()).hexdigest()}
    (board.root / "verdicts" / f"{bundle_id}.json").write_text(json.dumps(verdict))
    (board.root / "still_proven.py").write_text(_ANSWER)
    board.link(f"releases/{bundle_id}")
    return bundle_id


class Steered:
    """A model that goes on after an error; use it as a context, which ends it and holds that nothing was left."""

    def __init__(self, program, root, frames, path, fails=None):
        path.write_bytes(frames.tobytes())
        row = ",".join(map(str, frames.shape[1:]))
        command = [program, root, path, frames[0].nbytes, "input", row]
        environment = {**os.environ, **({} if fails is None else {"STAND_IN_FAIL": fails})}
        self._process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.said = self._process.stdout.readline().strip()
        self.code, self.words = None, ""
        if not self.said:
            self._end()

    def _end(self):
        _, self.words = self._process.communicate(timeout=60)
        self.code = self._process.returncode

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.code is None:
            self._end()
        if kind is None:
            assert (self.code, self.words) == (0, "")

    def ask(self, *words):
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def run(self, start, count):
        """Return the answers `(count, 4)`, or what was said instead."""
        said = self.ask("run", start, count)
        if not said.startswith("answers logits "):
            return said
        numbers = [float.fromhex(number) for number in said.split()[2:]]
        return np.array(numbers, np.float32).reshape(count, 4)
