"""The applications' wheel: what is in it, and that it needs Python, numpy and the runtime alone."""

import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.agent.application.boards import run_bare
from tests.agent.application.engines import add_engine_release, build, install_tensorrt
from tests.conftest import build_model
from toolchain.agent.measure.decoders import list_decoders

_REPOSITORY = Path(__file__).parents[2]
_SIZE_BYTES_MAX = 200_000  # of the issue that asked for it

_APPLICATION = """\
import importlib, pkgutil, sys
import numpy as np
import edge_app
for module in pkgutil.walk_packages(edge_app.__path__, "edge_app."):
    importlib.import_module(module.name)
root, frames, answers = sys.argv[1:]
with edge_app.open_current(root) as model:
    np.save(answers, model(np.load(frames))["logits"])
    assert model.is_proven
strange = {name.partition(".")[0] for name in sys.modules} & {"torch", "toolchain", "onnx", "pydantic", "rich"}
assert not strange, strange
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", folder, _REPOSITORY / "app"], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_it_is_small(wheel):
    assert wheel.stat().st_size <= _SIZE_BYTES_MAX


def test_it_has_the_agents_own_files_every_decoder_and_nothing_that_only_a_board_or_a_host_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if name.startswith("edge_app/agent/")}
    agent = _REPOSITORY / "toolchain/agent"
    assert all(data == (agent / name.removeprefix("edge_app/agent/")).read_bytes() for name, data in files.items())
    assert {f"edge_app/agent/measure/decoders/{name}.py" for name in list_decoders()} <= files.keys()
    strange = (
        "tensorrt/engine.py",
        "tensorrt/engine_cache.py",
        "tensorrt/built.py",
        "measure/latency.py",
    )  # what builds, what times
    assert not [name for name in files if name.endswith(strange)]
    strange = ("install/receive.py", "install/actions.py", "measure/golden.py", "measure/gates/__init__.py")
    assert not [name for name in files if name.endswith(strange)]


def test_an_application_opens_its_board_with_nothing_of_the_toolchain_around(wheel, board, frames, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    np.save(tmp_path / "frames.npy", frames)
    command = [sys.executable, "-c", _APPLICATION, board.root, tmp_path / "frames.npy", tmp_path / "answers.npy"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "answers.npy"), run_bare(str(board.payload), frames))


def test_an_application_opens_an_engine_with_what_is_in_the_wheel(wheel, board, keys, frames, tmp_path, monkeypatch):
    jetson = install_tensorrt(monkeypatch, tmp_path)  # not yet run on hardware
    add_engine_release(board, keys, build(jetson.trt))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "app")
    monkeypatch.syspath_prepend(tmp_path / "app")
    edge_app = importlib.import_module("edge_app")
    try:
        with edge_app.open_current(board.root, check_interval_s=None) as model:
            assert (model.is_proven, len(jetson.trt.deserialized)) == (True, 1)
            expected = run_bare(build_model("float32"), frames)
            np.testing.assert_allclose(model(frames)["logits"], expected, rtol=1e-5, atol=1e-6)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "edge_app"]:
            del sys.modules[name]
