"""The C++ side built for ARM: on the emulated board it answers bit for bit as that board's own Python does.

`make test-board BOARD_TESTS=tests/app/test_arm.py` runs these; kernels of ARM may answer otherwise than those of x86.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.agent.application.boards import make_board, make_payload_bundle
from tests.app.decoding import check_case, list_cases, write_case
from tests.app.headers import HEADERS, needs_headers
from tests.native_board import AGENT_PYTHON

_REPOSITORY = Path(__file__).parents[2]
_SOURCE = _REPOSITORY / "app/cpp"
_COMPILER = "aarch64-linux-gnu-g++"

pytestmark = [
    pytest.mark.skipif("AGENT_PYTHON" not in os.environ, reason="make test-board lends the Python of an ARM board"),
    needs_headers,
    pytest.mark.skipif(
        shutil.which(_COMPILER) is None, reason=f"there is no {_COMPILER}: apt-get install g++-aarch64-linux-gnu"
    ),
]

# Runs in the board's Python: golden inputs in, answers out, by the agent's own session.
_ANSWER = """\
import sys
from pathlib import Path
import numpy as np
from toolchain.agent.manifest import read_manifest
from toolchain.agent.measure.session import open_session
payload, frames, answers = sys.argv[1:]
session = open_session("onnxruntime", Path(payload), threads=1)
np.save(answers, session.run({"input": np.load(frames)})["logits"])
"""
# Becomes a program of the board's; with several, one after another.
_BECOME = """\
import json, subprocess, sys
for words in json.load(open(sys.argv[1])):
    if subprocess.run(words).returncode:
        sys.exit(f"failed: {words}")
"""


@pytest.fixture(scope="session")
def sysroot():
    """Return the board's file system, which make test-board built."""
    from toolchain.emulator.board import TARGET
    from toolchain.emulator.root import build_root
    from toolchain.project.find import find_target

    return build_root(find_target(TARGET).runtime)


@pytest.fixture(scope="session")
def programs(sysroot):
    """Return the folder of the programs for the board, built against the very library of its Python."""
    inside = Path("usr/lib/python3/dist-packages/onnxruntime/capi")
    (library,) = (sysroot / inside).glob("libonnxruntime.so.*")
    folder = _REPOSITORY / "build/app/aarch64"
    options = {"EDGE_APP_BOARD": sysroot, "ONNXRUNTIME_INCLUDE": HEADERS, "ONNXRUNTIME_LIBRARY": library}
    options["CMAKE_BUILD_RPATH"] = folder / "board"
    defined = [f"-D{name}={value}" for name, value in options.items()]
    toolchain = ["--toolchain", _SOURCE / "aarch64.cmake", "--fresh"]
    subprocess.run(["cmake", "-S", _SOURCE, "-B", folder, *toolchain, *defined], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder, "--parallel", "2"], check=True, stdout=subprocess.DEVNULL)
    # By the name that it is loaded by, at the place that it has on the board.
    link = folder / "board/libonnxruntime.so.1"
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("/" / inside / library.name)
    return folder


def run(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, cwd=_REPOSITORY)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_on_board(folder, commands):
    (folder / "commands.json").write_text(json.dumps([list(map(str, words)) for words in commands]))
    return run(AGENT_PYTHON, "-c", _BECOME, folder / "commands.json")


# One test: the workers of pytest-xdist would build into one folder at once.
def test_it_decodes_as_python_does_and_answers_bit_for_bit_as_the_boards_own_python(programs, keys, bytecode, tmp_path):
    head = (programs / "edge_app_run").read_bytes()[:20]
    assert (head[:4], int.from_bytes(head[18:20], "little")) == (b"\x7fELF", 183)  # EM_AARCH64 of elf(5)
    cases = list_cases()
    words = [write_case(tmp_path / str(index), *case) for index, case in enumerate(cases)]
    limits = ("--limit-s", "300")  # what is emulated is slow
    board = make_board(tmp_path / "own", keys, bytecode, make_payload_bundle("int8"), options=limits)
    (board.root / "still_proven.py").symlink_to(_REPOSITORY / "toolchain/agent/install/still_proven.py")
    golden = board.release / "golden/in.npy"
    (tmp_path / "frames").write_bytes(np.load(golden).tobytes())
    run(AGENT_PYTHON, "-c", _ANSWER, board.payload, golden, tmp_path / "expected.npy")
    whole = [
        board.root,
        tmp_path / "answers",
        f"input={tmp_path / 'frames'}",
        "--batch",
        "6",
        "--agent-limit-ms",
        300_000,
    ]
    said = run_on_board(
        tmp_path, [[programs / "edge_app_run", *whole], *([programs / "edge_app_decode", *case] for case in words)]
    )
    assert "sha256" in said
    expected = np.load(tmp_path / "expected.npy")
    assert np.array_equal(np.fromfile(tmp_path / "answers.logits", np.float32), expected.ravel())
    for index, case in enumerate(cases):
        check_case(tmp_path / str(index), *case)
