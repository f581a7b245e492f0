"""The C++ side, built with sanitizers: opens what Python opens, refuses what Python refuses, and answers bit for bit alike.

`make app-test` gets the headers and runs these.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.agent.application.boards import make_board, make_payload_bundle, run_bare
from tests.app.cameras import make_camera_bundle, make_detector_bundle
from tests.app.headers import needs_headers
from toolchain.agent.application.model import open_current
from toolchain.agent.errors import ExitCode
from toolchain.agent.install.verdict import SCHEMA as VERDICT_SCHEMA
from toolchain.agent.manifest import SCHEMA as MANIFEST_SCHEMA
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.preprocess.picture import prepare_picture
from toolchain.agent.measure.preprocess.yuv import list_frame_shape

_REPOSITORY = Path(__file__).parents[2]
_SOURCE = _REPOSITORY / "app/cpp"


def test_it_knows_the_schemas_that_the_agent_writes():
    text = "".join((_SOURCE / "board" / name).read_text() for name in ("manifest.cpp", "verdict.cpp"))
    found = dict(re.findall(r"constexpr int (k\w+Schema) = (\d+);", text))
    assert found == {"kManifestSchema": str(MANIFEST_SCHEMA), "kVerdictSchema": str(VERDICT_SCHEMA)}


@pytest.fixture(scope="session")
def command(sanitized):
    """Return edge_app_run."""
    return sanitized / "edge_app_run"


@pytest.fixture
def asked(board):
    """Return the board, with the agent's answer where a deploy from a host puts it."""
    (board.root / "still_proven.py").symlink_to(_REPOSITORY / "toolchain/agent/install/still_proven.py")
    return board


@pytest.fixture
def asked_once():
    """Return a function that lays the agent's answer on a board that others use too, and returns its root."""

    def lay(board):
        link = board.root / "still_proven.py"
        if not link.exists():
            link.symlink_to(_REPOSITORY / "toolchain/agent/install/still_proven.py")
        return board.root

    return lay


@pytest.fixture
def run(command, frames, tmp_path):
    """Return a function that runs the frames on a board, and returns exit code, answers and what was said."""
    (tmp_path / "frames").write_bytes(frames.tobytes())

    def start(root, *options):
        words = [command, root, tmp_path / "answers", f"input={tmp_path / 'frames'}", *options]
        # What was not given back is told at the end, and changes the exit code.
        return subprocess.Popen(
            list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )

    def run_all(root, *options):
        process = start(root, *options)
        out, err = process.communicate(timeout=120)
        assert "Sanitizer" not in err, err
        path = tmp_path / "answers.logits"
        answers = np.fromfile(path, np.float32).reshape(-1, 4) if process.returncode == 0 and path.exists() else None
        return process.returncode, answers, out + err

    run_all.start = start
    return run_all


@needs_headers
@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_it_answers_bit_for_bit_as_python_on_the_golden_inputs(kind, keys, bytecode, frames, run, tmp_path):
    board = make_board(tmp_path / "own", keys, bytecode, make_payload_bundle(kind))
    (board.root / "still_proven.py").symlink_to(_REPOSITORY / "toolchain/agent/install/still_proven.py")
    golden = np.load(board.release / "golden/in.npy")
    assert np.array_equal(golden, frames)
    with open_current(board.root, check_interval_s=None) as model:
        code, answers, words = run(board.root, "--batch", "4")
        expected = np.concatenate([model(golden[:4])["logits"], model(golden[4:])["logits"]])
        assert (code, "warning" in words) == (0, False), words
        assert np.array_equal(answers, expected)
        assert model.release.sha256 in words


@needs_headers
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two threads are pinned to two CPUs")
def test_it_pins_the_threads_that_were_proven_pinned_and_answers_as_python(pinned, asked_once, run):
    code, answers, words = run(asked_once(pinned))
    assert code == 0, words
    with open_current(pinned.root, check_interval_s=None) as model:
        np.testing.assert_allclose(answers, model(np.load(pinned.release / "golden/in.npy"))["logits"], rtol=1e-5)


@needs_headers
@pytest.mark.usefixtures("one_cpu")
def test_it_does_not_run_unpinned_what_was_proven_pinned(pinned, asked_once, run):
    code, answers, words = run(asked_once(pinned), "--warn")
    assert (code, answers) == (ExitCode.INCOMPATIBLE, None)
    assert "cannot be pinned here" in words
    assert "expected 2 CPUs that this process may use, found 1" in words
    assert run(asked_once(pinned))[:2] == (ExitCode.EXPIRED, None)


def change_a_byte(board):
    data = bytearray(board.payload.read_bytes())
    data[-1] ^= 1
    board.payload.write_bytes(data)


def link_payload(board):
    shutil.move(board.payload, board.root.parent / "moved.onnx")
    board.payload.symlink_to(board.root.parent / "moved.onnx")


def write_newer(board):
    manifest = json.loads((board.release / "manifest.json").read_text())
    data = json.dumps({**manifest, "schema": 99}).encode()
    newer = hashlib.sha256(data).hexdigest()
    shutil.copytree(board.release, board.root / "releases" / newer, symlinks=True)
    (board.root / "releases" / newer / "manifest.json").write_bytes(data)
    board.link(f"releases/{newer}")


def fail_in_place(verdict):
    verdict["failure"] = {"time": "2026-11-01T00:00:00Z", "exit_code": 18, "reason": "parity is too low"}


@needs_headers
@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        (change_a_byte, ExitCode.CONTENT, "sha256"),
        (link_payload, ExitCode.CONTENT, "link"),
        (lambda board: board.payload.unlink(), ExitCode.CONTENT, "payload"),
        (lambda board: board.payload.chmod(0o666), ExitCode.CONTENT, "0666"),
        (lambda board: board.release.chmod(0o777), ExitCode.CONTENT, "0777"),
        (lambda board: board.root.chmod(0o777), ExitCode.STORAGE, "0777"),
        (write_newer, ExitCode.MALFORMED, "found 99"),
        (lambda board: board.edit_verdict(lambda v: v.update(exit_code=18)), ExitCode.MALFORMED, "exit code 18"),
        (lambda board: board.edit_verdict(lambda v: v.update(time=7)), ExitCode.MALFORMED, "type must be string"),
        (lambda board: board.edit_verdict(lambda v: v["shipped"].update(sha256="0")), ExitCode.CONTENT, "verdict"),
        (lambda board: (board.release / "manifest.json").write_text("{"), ExitCode.CONTENT, "manifest"),
        (lambda board: shutil.rmtree(board.release), ExitCode.CONTENT, "gone"),
        (lambda board: (board.root / "current").unlink(), ExitCode.USAGE, "no release is active"),
        (lambda board: board.link("../../etc"), ExitCode.MALFORMED, "../../etc"),
        (lambda board: shutil.rmtree(board.root), ExitCode.USAGE, "no board"),
        (
            lambda board: next((board.root / "verdicts").glob(f"{board.current}*")).unlink(),
            ExitCode.EXPIRED,
            "no verdict",
        ),
        (lambda board: (board.root / "still_proven.py").unlink(), ExitCode.EXPIRED, "still_proven.py"),
        (lambda board: board.edit_verdict(fail_in_place), ExitCode.EXPIRED, "parity is too low"),
        (lambda board: board.edit_verdict(lambda v: v.update(python_path="/nowhere")), ExitCode.EXPIRED, "/nowhere"),
        (
            lambda board: board.edit_verdict(lambda v: v["environment"]["libraries"].clear()),
            ExitCode.EXPIRED,
            "a library that was not measured",
        ),
    ],
)
def test_what_is_not_proven_is_refused_in_words_with_the_code_of_the_contract(asked, run, change, code, word):
    change(asked)
    found, _, words = run(asked.root)
    assert (found, word in words, "fix: " in words) == (code, True, True), words


@needs_headers
def test_a_verdict_that_holds_no_more_is_warned_of_where_that_is_asked_for(asked, frames, run):
    expected = run_bare(str(asked.payload), frames)
    asked.edit_verdict(fail_in_place)
    code, answers, words = run(asked.root, "--warn", "--batch", "6")
    assert (code, "warning: expired: tried again" in words) == (0, True)
    assert np.array_equal(answers, expected)


@needs_headers
def test_an_agent_that_does_not_answer_is_given_up(asked, run):
    (asked.root / "still_proven.py").unlink()
    (asked.root / "still_proven.py").write_text("import time\ntime.sleep(600)\n")
    code, _, words = run(asked.root, "--agent-limit-ms", "500")
    assert (code, "does not answer" in words) == (ExitCode.UNEXPECTED, True)


@needs_headers
@pytest.mark.parametrize(
    ("resize", "layout", "colour"),
    [("letterbox", "NHWC", "BGR"), ("crop", "NCHW", "RGB"), ("stretch", "NCHW", "grey"), ("none", "NHWC", "grey")],
)
def test_it_makes_of_pictures_what_python_makes_bit_for_bit(resize, layout, colour, keys, bytecode, command, tmp_path):
    board = make_board(tmp_path / "camera", keys, bytecode, make_camera_bundle(resize, layout, colour))
    (board.root / "still_proven.py").symlink_to(_REPOSITORY / "toolchain/agent/install/still_proven.py")
    spec = read_manifest(board.release)[0].input.picture
    rng = np.random.default_rng(2)
    boxes = (rng.normal(size=(20, 4)) * 12).astype(np.float32)
    boxes[0, 1] = np.nan
    (tmp_path / "boxes").write_bytes(boxes.tobytes())
    sizes = [(12, 16)] if resize == "none" else [(12, 16), (7, 5), (31, 90), (1, 1), (100, 33)]
    for height, width in sizes:
        picture = rng.integers(0, 256, (height, width, 1 if colour == "grey" else 3), dtype=np.uint8)
        (tmp_path / "picture").write_bytes(picture.tobytes())
        words = [command, board.root, tmp_path / "a", "--picture", f"{height}x{width}", tmp_path / "picture"]
        done = subprocess.run([*map(str, words), "--boxes", str(tmp_path / "boxes")], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        tensor, at = prepare_picture(picture, spec)
        assert np.array_equal(np.fromfile(tmp_path / "a.tensor", np.uint8), tensor.ravel())
        assert np.array_equal(np.fromfile(tmp_path / "a.logits", np.float32), tensor.ravel().astype(np.float32))
        restored = np.fromfile(tmp_path / "a.restored", np.float32).reshape(-1, 4)
        assert np.array_equal(restored, at.restore_boxes(boxes), equal_nan=True)
    (tmp_path / "picture").write_bytes(b"short")
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert (done.returncode, "fix: " in done.stderr) == (ExitCode.USAGE, True)


@needs_headers
@pytest.mark.parametrize(
    "colour", ["NV12/BT.601/limited", "NV21/BT.709/full", "I420/BT.601/full", "YUYV/BT.709/limited"]
)
def test_it_makes_of_yuv_frames_what_python_makes_bit_for_bit(colour, keys, bytecode, command, tmp_path):
    board = make_board(tmp_path / "camera", keys, bytecode, make_camera_bundle("letterbox", "NHWC", colour))
    (board.root / "still_proven.py").symlink_to(_REPOSITORY / "toolchain/agent/install/still_proven.py")
    spec = read_manifest(board.release)[0].input.picture
    for height, width in [(22, 14), (2, 2)]:
        frame = np.random.default_rng(height).integers(0, 256, list_frame_shape(colour, height, width), dtype=np.uint8)
        (tmp_path / "frame").write_bytes(frame.tobytes())
        words = [command, board.root, tmp_path / "a", "--picture", f"{len(frame)}x{width}", tmp_path / "frame"]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        tensor, _ = prepare_picture(frame, spec)
        assert np.array_equal(np.fromfile(tmp_path / "a.tensor", np.uint8), tensor.ravel())
    (tmp_path / "frame").write_bytes(bytes(3 * 5 * 3))  # of a camera that gives RGB, or of an odd width
    words[4] = "3x5"
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert (done.returncode, f"the frame is no {colour[:4]}" in done.stderr) == (ExitCode.USAGE, True)


@needs_headers
def test_it_says_what_a_picture_means_as_python_does_with_boxes_in_pixels_of_the_picture(
    keys, bytecode, command, tmp_path
):
    decoder = {"name": "detections", "options": {"joined": "logits", "threshold": 90.0, "scale": 0.06}}
    board = make_board(tmp_path / "camera", keys, bytecode, make_detector_bundle(decoder))
    (board.root / "still_proven.py").symlink_to(_REPOSITORY / "toolchain/agent/install/still_proven.py")
    picture = np.random.default_rng(2).integers(0, 256, (20, 50, 3), dtype=np.uint8)
    (tmp_path / "picture").write_bytes(picture.tobytes())
    words = [command, board.root, tmp_path / "a", "--decode", "--picture", "20x50", tmp_path / "picture"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with open_current(board.root, check_interval_s=None) as model:
        expected = model.see(picture)
    assert len(expected["boxes"]) > 10
    assert np.array_equal(np.fromfile(tmp_path / "a.boxes", np.float32), expected["boxes"].ravel())
    assert np.array_equal(np.fromfile(tmp_path / "a.scores", np.float32), expected["scores"])
    assert np.array_equal(np.fromfile(tmp_path / "a.classes", np.int64), expected["classes"])


@needs_headers
@pytest.mark.parametrize(
    ("decoder", "code", "word"),
    [
        ({"name": "softmax", "options": {}}, 0, ""),
        ({"name": "mine", "options": {}}, ExitCode.USAGE, "C++ has no decoder of this name"),
        (None, ExitCode.USAGE, "it has no decoder"),
        ({"name": "argmax_mask", "options": {}}, ExitCode.MALFORMED, "argmax_mask cannot read"),
    ],
)
def test_a_decoder_that_it_does_not_know_is_a_refusal_and_never_another_answer(
    decoder, code, word, keys, bytecode, frames, run, tmp_path
):
    board = make_board(tmp_path / "own", keys, bytecode, make_payload_bundle("float32", decoder=decoder))
    (board.root / "still_proven.py").symlink_to(_REPOSITORY / "toolchain/agent/install/still_proven.py")
    found, raw, words = run(board.root, "--batch", "6")  # the outputs are right all the same
    assert (found, raw.shape) == (0, (6, 4)), words
    found, _, words = run(board.root, "--decode")
    assert (found, word in words) == (code, True), words
    if code == 0:
        scores = np.fromfile(tmp_path / "answers.scores", np.float32).reshape(-1, 4)
        with open_current(board.root, check_interval_s=None) as model:
            np.testing.assert_allclose(scores, model(frames)["scores"], rtol=1e-4, atol=1e-6)


@needs_headers
def test_a_frame_of_another_size_is_refused(asked, run, tmp_path):
    (tmp_path / "frames").write_bytes(b"short")
    code, _, words = run(asked.root)
    assert (code, "expected (any, 3, 8, 8), found (0, 3, 8, 8)" in words) == (ExitCode.USAGE, True)


@needs_headers
@pytest.mark.parametrize("change", [lambda board: board.payload.unlink(), change_a_byte, link_payload])
def test_a_payload_that_is_gone_while_it_is_open_is_told_and_it_answers_on(change, asked, frames, run, tmp_path):
    expected = run_bare(str(asked.payload), frames[:1])
    with run.start(asked.root, "--until-trouble") as process:
        assert process.stderr.readline().startswith("release ")
        change(asked)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, "Sanitizer" in err) == (0, False), err
    assert "the payload that answers is not on the board any more (exit 11)" in err
    assert np.array_equal(np.fromfile(tmp_path / "answers.logits", np.float32)[:4], expected.ravel())
    assert " frames, median " in out


@needs_headers
def test_releases_change_under_load_and_no_frame_is_lost(asked, bundles, run):
    changes, ids = 3, [bundle.id for bundle in bundles]
    seen = []
    with run.start(asked.root, "--changes", changes) as process:
        for line in process.stderr:
            assert line.startswith("release "), line
            seen.append(line.split()[1])
            assert asked.current == seen[-1]
            if len(seen) <= changes:
                asked.switch(ids[len(seen) % 2 - 1])
        out = process.stdout.read()
    assert (process.returncode, len(seen)) == (0, changes + 1)
    frames = int(re.search(r"(\d+) frames", out)[1])
    assert (frames % 6, frames > 6 * changes) == (0, True)
