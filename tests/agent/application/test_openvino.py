"""Applications on OpenVINO itself, and no ONNX Runtime in their process: what they answer, and a new release while they run."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.agent.application.boards import ApplicationBoard, make_board, make_payload_bundle, run_bare
from tests.agent.quick_bundle import COUNTER, MANIFEST, describe_candidate
from tests.conftest import build_model
from toolchain.agent.application.errors import ExpiredError
from toolchain.agent.application.model import open_current
from toolchain.agent.measure.libraries import find_module
from toolchain.agent.measure.session import open_session

# Not importorskip: a plain import of it sends telemetry.
pytestmark = pytest.mark.skipif(
    find_module("openvino") is None, reason="OpenVINO is not installed (the extra openvino)"
)
_ALONE = """\
import sys
sys.modules["onnxruntime"] = None
import numpy as np
from toolchain.agent.application.model import open_current
root, frames, answers = sys.argv[1:]
with open_current(root) as model:
    np.save(answers, model(np.load(frames))["logits"])
    assert (model.is_proven, model.release.runtime) == (True, "openvino")
"""


@pytest.fixture(scope="module")
def bundles():
    """Return two bundles for OpenVINO whose payloads answer differently."""
    changes = {
        "candidates": [describe_candidate("int8", "openvino")],
        "compatible": {**MANIFEST["compatible"], "runtime_versions": {"openvino": ">=2024.4"}},
    }
    second = make_payload_bundle("negated", counter=COUNTER + 1, **changes)
    return make_payload_bundle("float32", **changes), second


@pytest.fixture(scope="module")
def template(keys, bytecode, bundles, tmp_path_factory):
    return make_board(tmp_path_factory.mktemp("openvino") / "root", keys, bytecode, *bundles).root


@pytest.fixture
def openvino_board(template, bytecode, tmp_path):
    (tmp_path / "board").mkdir()
    shutil.copytree(template, tmp_path / "board/root", symlinks=True)
    return ApplicationBoard(tmp_path / "board/root", bytecode)


def answer(board, frames):
    return open_session("openvino", board.payload, 1).run({"input": frames})["logits"]


def test_the_proven_payload_answers_bit_for_bit_as_openvino_itself_and_nearly_as_the_other_runtime(
    openvino_board, frames, tmp_path
):
    board = openvino_board
    np.save(tmp_path / "frames.npy", frames)
    command = [sys.executable, "-c", _ALONE, board.root, tmp_path / "frames.npy", tmp_path / "answers.npy"]
    path = {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **path}, check=False)
    assert done.returncode == 0, done.stderr
    answers = np.load(tmp_path / "answers.npy")
    assert np.array_equal(answers, answer(board, frames))
    np.testing.assert_allclose(answers, run_bare(build_model("negated"), frames), rtol=1e-4, atol=1e-5)


def test_a_release_is_swapped_while_frames_come_and_none_is_lost_or_mixed_up(openvino_board, bundles, frames):
    board = openvino_board
    before = answer(board, frames)
    known = [before, -before]
    answers, failures = [], []
    with open_current(board.root, check_interval_s=None) as model:
        ended = threading.Event()

        def ask():
            while not ended.is_set():
                try:
                    answers.append(model(frames)["logits"])
                except Exception as error:  # noqa: BLE001 - whatever a thread raises is told by the test
                    failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for bundle in (bundles[0], bundles[1], bundles[0]):
            board.switch(bundle.id)
            assert model.refresh()
            assert model.release.bundle_id == bundle.id
            count = len(answers)
            while len(answers) < count + 4 and not failures:
                threads[0].join(0.01)
        ended.set()
        for thread in threads:
            thread.join()
        assert np.array_equal(model(frames)["logits"], answer(board, frames))
    assert not failures
    assert {next(i for i, one in enumerate(known) if np.allclose(one, got, atol=1e-5)) for got in answers} == {0, 1}


def test_another_openvino_than_the_one_that_measured_is_not_proven(openvino_board):
    def exchange(verdict):
        assert verdict["shipped"]["runtime"] == "openvino"
        name = next(iter(verdict["libraries"]))
        verdict["libraries"][name]["sha256"] = "0" * 64

    openvino_board.edit_verdict(exchange)
    with pytest.raises(ExpiredError) as caught:
        open_current(openvino_board.root, check_interval_s=None)
    assert caught.value.fix
