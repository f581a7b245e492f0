"""Boards with real payloads and the real runtime, whose bundles prove themselves in no time: under test is what opens them."""

import io
import json
from pathlib import Path

import numpy as np
import onnxruntime

from tests.agent.board import Board
from tests.agent.quick_bundle import COUNTER, MANIFEST, make_quick
from tests.agent.surroundings import make_environment, write_signers
from tests.conftest import build_model
from toolchain.agent.install.settle import record_switch
from toolchain.agent.install.slots import Slots
from toolchain.agent.install.trust import read_state, write_state

INPUTS = [{"name": "input", "dtype": "float32", "shape": [None, 3, 8, 8]}]
OUTPUTS = [{"name": "logits", "dtype": "float32", "shape": [None, 4]}]
SAMPLES = 6


def make_frames(count=SAMPLES):
    return np.random.default_rng(5).normal(size=(count, 3, 8, 8)).astype(np.float32)


def run_bare(payload, frames):
    """Return what the runtime alone answers, one thread as the bundles say."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"input": frames})[0]


def write_npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def make_golden(outputs, *, samples=1):
    """Return what a manifest says of the golden files of an input `input` and of these outputs."""
    files = {kind: dict.fromkeys(outputs, "golden/out.npy") for kind in ("outputs", "originals")}
    return {**MANIFEST["golden"], "samples": samples, "inputs": {"input": "golden/in.npy"}, **files}


def make_payload_bundle(kind, *, counter=COUNTER, decoder=None, **changes):
    """Return an unsigned bundle with a small classifier (tests/conftest.py) and golden pairs that are its own answers."""
    payload, frames = build_model(kind), make_frames()
    extra = {"golden/in.npy": write_npy(frames), "golden/out.npy": write_npy(run_bare(payload, frames))}
    golden = make_golden(["logits"], samples=SAMPLES)
    metric = {**MANIFEST["metric"], "decoder": decoder}
    usual = {"inputs": INPUTS, "outputs": OUTPUTS, "golden": golden, "metric": metric, "counter": counter}
    return make_quick(**{"content": payload, "extra": extra, **usual, **changes})


class ApplicationBoard(Board):
    """A board that applications of this process open."""

    def __init__(self, root, bytecode):
        super().__init__(root, make_environment(bytecode))

    @property
    def release(self):
        return self.root / "releases" / self.current

    @property
    def payload(self):
        return self.release / "payload/int8/model.onnx"

    def link(self, target):
        """Point the link `current` elsewhere, in one step."""
        temporary = self.root / "current.new"
        temporary.symlink_to(target)
        temporary.replace(self.root / "current")

    def switch(self, bundle_id):
        """Make another release the active one, as every deploy and rollback does: first the link, then the state."""
        slots = Slots(self.root)
        state = read_state(slots.folder)
        slots.switch("current", bundle_id)
        write_state(slots.folder, record_switch(slots, state, bundle_id))

    def edit_verdict(self, change, bundle_id=None):
        path = self.root / "verdicts" / f"{bundle_id or self.current}.json"
        verdict = json.loads(path.read_text())
        change(verdict)
        path.write_text(json.dumps(verdict))


def make_board(root: Path, keys, bytecode, *bundles, options=()):
    """Return a board on which the last of these bundles is active, each signed and installed by the real agent."""
    root.mkdir(parents=True)
    write_signers(root, keys)
    board = ApplicationBoard(root, bytecode)
    for bundle in bundles:
        answer = board.install(bundle.sign(keys["allowed"]), *options)
        assert answer.code == 0, answer
    return board
