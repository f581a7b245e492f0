import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.agent.application.boards import run_bare
from toolchain.agent.errors import ExitCode

_SERVICE = Path(__file__).parents[2] / "examples/service"
_LIMIT_S = 60  # ends a test whose service hangs; nothing is measured by it


def wait_for(path):
    end_s = time.monotonic() + _LIMIT_S
    while not path.exists():
        assert time.monotonic() < end_s, f"{path} never came"
        time.sleep(0.02)
    return json.loads(path.read_text())


def put(folder, name, array):
    np.save(folder / "new", array)
    (folder / "new.npy").rename(folder / f"{name}.part")
    (folder / f"{name}.part").rename(folder / f"{name}.npy")


def test_it_says_when_it_is_ready_answers_what_lands_and_ends_when_it_is_told(board, frames, environment, tmp_path):
    folder, channel = tmp_path / "frames", socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    folder.mkdir()
    channel.bind(str(tmp_path / "notify"))
    channel.settimeout(_LIMIT_S)
    command = [sys.executable, "-B", _SERVICE / "answer.py", board.root, folder]
    process = subprocess.Popen(
        list(map(str, command)), env={**environment, "NOTIFY_SOCKET": str(tmp_path / "notify")}, stderr=subprocess.PIPE
    )
    try:
        assert channel.recv(200).startswith(b"READY=1\nSTATUS=small int8")
        put(folder, "first", frames[:2])
        put(folder, "odd", frames[:2].astype(np.float64))
        (folder / "broken.npy").write_bytes(b"no array")
        answered = wait_for(folder / "first.json")
        expected = run_bare(str(board.payload), frames[:2])
        assert np.array_equal(np.array(answered["answers"]["logits"], dtype=np.float32), expected)
        assert (answered["release"], answered["is_proven"]) == (board.current, True)
        assert "expected float32, found float64" in wait_for(folder / "odd.json")["error"]
        assert wait_for(folder / "broken.json")["error"]
        assert b"WATCHDOG=1" in channel.recv(200)
        process.send_signal(signal.SIGTERM)
        assert (process.wait(_LIMIT_S), process.stderr.read()) == (0, b"")
    finally:
        process.kill()
        process.communicate()
        channel.close()


def test_a_board_that_is_not_proven_ends_it_with_the_code_of_the_contract(board, run_example, tmp_path):
    board.edit_verdict(lambda verdict: verdict["environment"].update(runtime_version="1.0"))
    done = run_example("service/answer.py", board.root, tmp_path)
    assert (done.returncode, "fix: prove it again" in done.stderr) == (ExitCode.EXPIRED, True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_the_unit_is_one_of_systemd(tmp_path):
    # The programs that it starts are not on this machine.
    unit = (_SERVICE / "edge-app.service").read_text().replace("/opt/edge-app/venv/bin/python", sys.executable)
    (tmp_path / "edge-app.service").write_text(unit)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "edge-app.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "edge-app.service:" in done.stderr) == (0, False), done.stderr
    (tmp_path / "edge-app.service").write_text(unit.replace("WatchdogSec=30", "WatchdogSek=30"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "WatchdogSek" in done.stderr


def test_the_container_copies_what_there_is_and_starts_what_it_copied():
    lines = (_SERVICE / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    known = {"ARG", "FROM", "RUN", "COPY", "USER", "ENV", "STOPSIGNAL", "ENTRYPOINT"}
    assert {name for name, _ in steps} <= known
    copies = [rest.split() for name, rest in steps if name == "COPY"]
    assert all((_SERVICE.parents[1] / source).exists() for source, _ in copies)
    (entry,) = [json.loads(rest) for name, rest in steps if name == "ENTRYPOINT"]
    assert {target for _, target in copies}.issuperset(entry[2:3])
    (user,) = [rest for name, rest in steps if name == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
