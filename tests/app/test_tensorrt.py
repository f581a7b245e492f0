"""The C++ side with an engine of TensorRT, on a stand-in of it and of CUDA that computes; not yet run on hardware.

The stand-in holds what the real ones demand: memory of the GPU ends whoever touches it, a stream does nothing until it is waited
for, a context takes one thread at a time, and what is not given back ends the process with 98.
"""

import json
import re
import subprocess

import numpy as np
import pytest

from tests.app.engines import INPUT, OUTPUT, Steered, add_engine_release, compute_answers, describe_engine
from tests.app.headers import needs_headers
from toolchain.agent.errors import ExitCode

pytestmark = needs_headers


@pytest.fixture
def library(sanitized):
    """Return the library that the programs have loaded for TensorRT."""
    return sanitized / "libnvinfer_stand_in.so"


@pytest.fixture
def engine_board(board, library):
    """Return the board with an engine as what was proven."""
    add_engine_release(board, library, describe_engine())
    return board


@pytest.fixture
def open_engine(sanitized, frames, tmp_path):
    """Return a function that opens what is active on a board, and takes the calls that are to fail."""

    def start(board, fails=None):
        return Steered(sanitized / "steer", board.root, frames, tmp_path / "frames", fails)

    return start


def refuse(steered, code, word):
    assert (steered.code, word in steered.words, "fix: " in steered.words) == (code, True, True), steered.words
    assert "Sanitizer" not in steered.words


def test_it_answers_what_the_engine_computes_sample_by_sample_in_batches_and_as_a_graph(
    engine_board, open_engine, frames
):
    expected = compute_answers(frames)
    with open_engine(engine_board) as model:
        assert model.said == f"open {engine_board.current}"
        # The shape of the warm-up a second time, which is captured, and as a graph; then others, and back.
        for start, count in [(0, 1), (1, 1), (2, 1), (0, 4), (2, 4), (1, 3), (5, 1), (0, 1), (1, 1)]:
            assert np.array_equal(model.run(start, count), expected[start : start + count]), (start, count)


def test_a_frame_that_the_engine_was_not_built_for_is_refused_and_the_next_one_is_answered(
    engine_board, open_engine, frames
):
    with open_engine(engine_board) as model:
        said = model.run(0, 5)
        assert said.startswith("error 2 the engine was not built for a frame of this size")
        assert "expected (1, 3, 8, 8) to (4, 3, 8, 8), found (5, 3, 8, 8)" in said
        assert np.array_equal(model.run(0, 2), compute_answers(frames)[:2])


def change_a_byte(path):
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def link(path):
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def name_engine(path):
    return lambda verdict: verdict["engine"].update(path=path)


@pytest.mark.parametrize(
    ("change", "code", "word"),
    [
        (lambda board, path: change_a_byte(path), ExitCode.CONTENT, "the engine is not the one that was proven"),
        (lambda board, path: path.write_bytes(path.read_bytes() + b"\n"), ExitCode.CONTENT, "too large"),
        (lambda board, path: path.unlink(), ExitCode.CONTENT, "gone"),
        (lambda board, path: link(path), ExitCode.CONTENT, "no link"),
        (lambda board, path: path.chmod(0o666), ExitCode.CONTENT, "0666"),
        (lambda board, path: path.parent.chmod(0o777), ExitCode.STORAGE, "0777"),
        (lambda board, path: path.parent.rename(board.root / "moved"), ExitCode.CONTENT, "engines of the board are gone"),
        (lambda board, path: board.edit_verdict(name_engine("engines/../x")), ExitCode.MALFORMED, "engines/NAME.engine"),
        (lambda board, path: board.edit_verdict(name_engine("engines/..")), ExitCode.MALFORMED, "engines/NAME.engine"),
        (lambda board, path: board.edit_verdict(name_engine("x.engine")), ExitCode.MALFORMED, "engines/NAME.engine"),
        (lambda board, path: board.edit_verdict(lambda verdict: verdict.update(engine=None)), ExitCode.INCOMPATIBLE, "found no engine"),
        (lambda board, path: board.edit_verdict(lambda verdict: verdict["environment"]["libraries"].clear()), ExitCode.EXPIRED, "TensorRT 10.3.0, sha256 "),
    ],
)  # fmt: skip
def test_another_engine_than_the_proven_one_is_never_given_to_tensorrt(change, code, word, engine_board, open_engine):
    change(engine_board, engine_board.root / "engines/built.engine")
    refuse(open_engine(engine_board), code, word)


NCHW = "-1,3,8,8 1,3,8,8 4,3,8,8"


@pytest.mark.parametrize(
    ("engine", "code", "word"),
    [
        ({"head": "of TensorRT 11"}, ExitCode.INCOMPATIBLE, "no engine of this TensorRT"),
        ({"inputs": {"input": f"uint8 gpu linear {NCHW}"}}, ExitCode.MALFORMED, "expected float32, found uint8"),
        ({"inputs": {"input": f"bfloat16 gpu linear {NCHW}"}}, ExitCode.INCOMPATIBLE, "cannot be fed"),
        ({"inputs": {"input": f"float32 host linear {NCHW}"}}, ExitCode.INCOMPATIBLE, "cannot be fed"),
        ({"inputs": {"input": f"float32 gpu chw32 {NCHW}"}}, ExitCode.INCOMPATIBLE, "cannot be fed"),
        ({"inputs": {"pixels": INPUT}}, ExitCode.MALFORMED, "pixels"),
        ({"inputs": {"input": INPUT, "mask": INPUT}}, ExitCode.MALFORMED, "expected 2 inputs and outputs, found 3"),
        ({"inputs": {"logits": INPUT}, "outputs": {"input": OUTPUT}}, ExitCode.MALFORMED, "once each"),
        ({"inputs": {"input": "float32 gpu linear -1,3,9,8 1,3,9,8 4,3,9,8"}}, ExitCode.MALFORMED, "(any, 3, 9, 8)"),
        ({"inputs": {"input": "float32 gpu linear -1,3,8 1,3,8 4,3,8"}}, ExitCode.MALFORMED, "(any, 3, 8)"),
        ({"inputs": {"input": "float32 gpu linear -1,3,8,8 - -"}}, ExitCode.INCOMPATIBLE, "an optimization profile"),
        ({"inputs": {"input": "float32 gpu linear -1,3,8,8 5,3,8,8 4,3,8,8"}}, ExitCode.INCOMPATIBLE, "an optimization profile"),
        ({"outputs": {"logits": "float32 gpu linear -1,5 - -"}}, ExitCode.MALFORMED, "(any, 5)"),
        ({"outputs": {"logits": "float32 gpu linear -2,4 - -"}}, ExitCode.INCOMPATIBLE, "depends on the data"),
    ],
)  # fmt: skip
def test_an_engine_that_is_not_what_the_manifest_says_is_refused_in_words(
    engine, code, word, board, library, open_engine
):
    add_engine_release(board, library, describe_engine(**engine))
    refuse(open_engine(board), code, word)


@pytest.mark.parametrize(
    ("fails", "code", "word"),
    [
        ("createInferRuntime:1", ExitCode.INCOMPATIBLE, "CUDA initialization failure with error: 35"),
        ("createExecutionContext:1", ExitCode.INCOMPATIBLE, "no memory for a context"),
        ("setInputShape:1", ExitCode.UNEXPECTED, "setInputShape failed"),
        ("setTensorAddress:2", ExitCode.UNEXPECTED, "setTensorAddress failed"),
        ("cudaGetDevice:1:100", ExitCode.INCOMPATIBLE, "cudaErrorNoDevice"),
        ("cudaSetDevice:1:999", ExitCode.UNEXPECTED, "cudaSetDevice: expected cudaSuccess"),
        ("cudaStreamCreateWithFlags:1:2", ExitCode.INCOMPATIBLE, "cudaErrorMemoryAllocation"),
        ("cudaMalloc:1:2", ExitCode.INCOMPATIBLE, "build for a smaller batch"),
        ("cudaMalloc:2:2", ExitCode.INCOMPATIBLE, "build for a smaller batch"),
        ("cudaMallocHost:2:2", ExitCode.INCOMPATIBLE, "build for a smaller batch"),
    ],
)
def test_a_call_that_fails_while_it_opens_is_told_and_nothing_is_left(fails, code, word, engine_board, open_engine):
    refuse(open_engine(engine_board, fails), code, word)


# The warm-up has run one sample before, by itself and as a graph: its calls are counted too.
@pytest.mark.parametrize(
    ("fails", "count", "word"),
    [
        ("cudaMemcpyAsync:5:700", 2, "cudaMemcpyAsync to the GPU: expected cudaSuccess, found cudaErrorIllegalAddress"),
        ("cudaMemcpyAsync:6:1", 2, "cudaMemcpyAsync from the GPU: expected cudaSuccess, found cudaErrorInvalidValue"),
        ("enqueueV3:3", 2, "found enqueueV3 failed, as it was asked for   fix: stop what else uses the GPU"),
        ("cudaStreamSynchronize:3:700", 2, "cudaStreamSynchronize"),
        ("setInputShape:3", 2, "setInputShape input"),
        ("cudaSetDevice:4:100", 2, "look whether its driver is loaded"),
        ("cudaGraphLaunch:2:700", 1, "cudaGraphLaunch"),
    ],
)
def test_a_call_that_fails_loses_one_frame_in_words_and_the_next_ones_are_right(
    fails, count, word, engine_board, open_engine, frames
):
    expected = compute_answers(frames)
    with open_engine(engine_board, fails) as model:
        said = model.run(0, count)
        assert isinstance(said, str), said
        assert (said.split()[0], word in said) == ("error", True), said
        for start in (1, 2, 3, 0):
            assert np.array_equal(model.run(start, count), expected[start : start + count])


@pytest.mark.parametrize(
    "fails",
    [
        "cudaStreamBeginCapture:2:900",
        "enqueueV3:4",
        "cudaMemcpyAsync:7:1",
        "cudaStreamEndCapture:2:900",
        "cudaGraphInstantiate:2:2",
    ],
)
def test_an_engine_that_cannot_be_captured_answers_without_a_graph(fails, engine_board, open_engine, frames):
    with open_engine(engine_board, fails) as model:
        for start in range(4):
            assert np.array_equal(model.run(start, 2), compute_answers(frames)[start : start + 2])


def test_several_threads_are_answered_one_after_another(engine_board, open_engine):
    with open_engine(engine_board) as model:
        assert model.ask("same", 4, 25) == "same"


def test_the_device_that_an_application_has_chosen_stays_its_own(engine_board, open_engine, frames):
    with open_engine(engine_board) as model:
        assert model.ask("device", 1) == "code 0"
        assert np.array_equal(model.run(0, 2), compute_answers(frames)[:2])
        assert model.ask("which") == "device 1"


def test_a_new_release_is_followed_and_one_whose_engine_cannot_be_opened_is_not(board, library, open_engine, frames):
    first = add_engine_release(board, library, describe_engine(), name="first")
    add_engine_release(board, library, describe_engine(scale=3.0), name="second")
    add_engine_release(board, library, describe_engine(head="another"), name="third")
    third = board.current
    board.link(f"releases/{first}")
    with open_engine(board) as model:
        assert np.array_equal(model.run(0, 1), compute_answers(frames)[:1])
        board.link(f"releases/{third}")
        assert model.ask("refresh").startswith("error 12 TensorRT cannot open the engine")
        assert np.array_equal(model.run(0, 1), compute_answers(frames)[:1])
        second = next(path.stem for path in (board.root / "verdicts").iterdir() if "second.engine" in path.read_text())
        board.link(f"releases/{second}")
        assert model.ask("refresh") == "refreshed 1"
        assert np.array_equal(model.run(0, 1), compute_answers(frames, scale=3.0)[:1])
        # Proven anew on this board, with another engine.
        engine = describe_engine(scale=5.0)
        before = json.loads((board.root / f"verdicts/{second}.json").read_text())
        add_engine_release(board, library, engine, name="fourth")
        fourth = json.loads((board.root / f"verdicts/{board.current}.json").read_text())
        (board.root / f"verdicts/{second}.json").write_text(
            json.dumps({**before, "engine": fourth["engine"], "time": "2026-11-02T00:00:00Z"})
        )
        board.link(f"releases/{second}")
        assert model.ask("refresh") == "refreshed 1"
        assert np.array_equal(model.run(0, 1), compute_answers(frames, scale=5.0)[:1])


def test_engines_change_under_load_and_no_frame_is_lost(board, library, sanitized, frames, tmp_path):
    (tmp_path / "frames").write_bytes(frames.tobytes())
    ids = [
        add_engine_release(board, library, describe_engine(scale=scale), name=f"engine-{scale}") for scale in (2.0, 3.0)
    ]
    changes, seen = 3, []
    command = [sanitized / "edge_app_run", board.root, tmp_path / "a", f"input={tmp_path / 'frames'}"]
    command += ["--changes", changes, "--batch", 2]
    with subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            assert line.startswith("release "), line
            seen.append(line.split()[1])
            if len(seen) <= changes:
                board.link(f"releases/{ids[len(seen) % 2 - 1]}")
        out = process.stdout.read()
    assert (process.returncode, len(seen)) == (0, changes + 1)
    count = int(re.search(r"(\d+) frames", out)[1])
    assert (count % 3, count > 3 * changes) == (0, True)


def test_an_application_that_was_built_without_tensorrt_says_so(engine_board, sanitized, frames, tmp_path):
    (tmp_path / "frames").write_bytes(frames.tobytes())
    words = [engine_board.root, tmp_path / "a", f"input={tmp_path / 'frames'}"]
    for program, code in (("edge_app_run", 0), ("run_without_tensorrt", ExitCode.INCOMPATIBLE)):
        command = list(map(str, [sanitized / program, *words]))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
    assert "built without the runtime of the release" in done.stderr
    assert "expected onnxruntime, found tensorrt" in done.stderr


def test_a_runtime_that_no_application_has_is_refused(board, library, open_engine):
    add_engine_release(board, library, describe_engine(), runtime="openvino")
    refuse(open_engine(board), ExitCode.INCOMPATIBLE, "expected onnxruntime, tensorrt, found openvino")


def test_nvidias_own_cuda_runtime_without_a_gpu_is_an_error_in_words(engine_board, sanitized, frames, tmp_path):
    program = sanitized / "run_with_cuda"
    if not program.exists():
        pytest.skip("there is no CUDA runtime among Python's packages")
    (tmp_path / "frames").write_bytes(frames.tobytes())
    command = [program, engine_board.root, tmp_path / "a", f"input={tmp_path / 'frames'}"]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env={"CUDA_VISIBLE_DEVICES": "-1"}
    )
    assert done.returncode == ExitCode.INCOMPATIBLE, done.stderr
    assert re.search(r"found cudaError(NoDevice|InsufficientDriver): .+\n  fix: ", done.stderr), done.stderr
