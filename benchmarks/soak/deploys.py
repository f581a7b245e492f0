"""Fifty deploys in a row to an sshd on the loopback address: what they leave on host and board must not grow.

Two versions of a model take turns, and the counter rises as it does from commit to commit: each deploy brings a release that
the board never had.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.soak.leftovers import MARK, Bounds, Leftovers, Places, count_leftovers, find_growth
from benchmarks.soak.models import draw_samples, write_small
from benchmarks.soak.process_memory import run_watched
from toolchain.agent.install.audit import KEPT_LOGS, LOG_BYTES_MAX

DEPLOYS = 50
WARM_UP = 5
# The limit of the cache (TOOLCHAIN_CACHE_MAX_GB), small enough to be reached, and what one command may make beyond it.
CACHE_MAX_BYTES = 10_000_000
# A log is looked at when a command begins, and retired where it is full; one deploy writes 5 kB.
BOUNDS = Bounds(log_bytes=(KEPT_LOGS + 1) * (LOG_BYTES_MAX + 64 * 1024), cache_bytes=CACHE_MAX_BYTES + 2_000_000)
_SIZE = 8
_SAMPLES = 64
_TARGET = """\
# Emulated: no verdict hangs on the time that something took.
runtime = "onnxruntime"
precision = ["int8", "float32"]
signature = "optional"
emulated = true
"""
_DEPLOY_LIMIT_S = 600.0  # ends what hangs


@dataclass(frozen=True)
class Lab:
    """A project, a cache, a board, and everything that a deploy may leave something in."""

    folder: Path
    places: Places
    environment: dict[str, str]

    def deploy(self, number: int) -> Leftovers:
        """Deploy one version of the model as release `number`, and return what there is afterwards."""
        folder = self.folder / f"version{number % 2}"
        command = [sys.executable, "-m", "toolchain", "deploy", str(folder / "small.onnx"), "--device", "native"]
        command += ["--calibration", str(self.folder / "data.npz"), "--counter", str(1_000_000 + number), "--quiet"]
        ended = run_watched(command, folder=self.folder, environment=self.environment, timeout_s=_DEPLOY_LIMIT_S)
        if ended.exit_code != 0:
            raise RuntimeError(f"deploy {number} ended with exit code {ended.exit_code}: {ended.stderr}")
        return count_leftovers(self.places, peak_bytes=ended.peak_bytes)


@contextmanager
def open_lab(folder: Path, *, cache_max_bytes: int) -> Iterator[Lab]:
    """Make the project and start the board."""
    from tests.native_board import NativeBoard

    mark = uuid.uuid4().hex
    own = {name: folder / name for name in ("home", "host-tmp", "board-tmp", "cache", "dist", "targets", "native")}
    for path in own.values():
        path.mkdir(mode=0o700)
    for version in (0, 1):
        write_small(folder / f"version{version}", size=_SIZE, seed=version)
    np.savez(folder / "data.npz", input=draw_samples(_SAMPLES, (3, _SIZE, _SIZE), seed=2))
    (own["targets"] / "board.toml").write_text(_TARGET, encoding="utf-8")
    board = NativeBoard(own["native"], environment={"TMPDIR": str(own["board-tmp"]), MARK: mark})
    (folder / "devices.toml").write_text(board.describe(), encoding="utf-8")
    board.start()
    try:
        yield Lab(
            folder=folder,
            places=Places(
                root=board.root,
                cache=own["cache"],
                out=own["dist"],
                temporary=(own["host-tmp"], own["board-tmp"], own["home"]),
                sshd=board.process_id,
                mark=mark,
            ),
            environment={
                **os.environ,
                MARK: mark,
                "HOME": str(own["home"]),
                "TMPDIR": str(own["host-tmp"]),
                "TOOLCHAIN_CACHE": str(own["cache"]),
                "TOOLCHAIN_CACHE_MAX_GB": str(cache_max_bytes / 1e9),
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
    finally:
        board.stop()


def deploy_often(
    lab: Lab, count: int, *, after_each: Callable[[Lab, int], None] = lambda _lab, _number: None
) -> list[Leftovers]:
    """Return what there was after each of so many deploys; `after_each` is for tests, which leave something there."""
    rows = []
    for number in range(count):
        after_each(lab, number)
        started_s = time.monotonic()
        rows.append(lab.deploy(number))
        sys.stderr.write(f"deploy {number + 1} of {count}: {time.monotonic() - started_s:.1f} s\n")
    return rows


def measure() -> dict[str, Any]:
    """Return what every deploy left, and what of it grew."""
    with tempfile.TemporaryDirectory() as folder, open_lab(Path(folder), cache_max_bytes=CACHE_MAX_BYTES) as lab:
        started_s = time.monotonic()
        rows = deploy_often(lab, DEPLOYS)
        wall_s = time.monotonic() - started_s
    return {
        "deploys": DEPLOYS,
        "warm_up": WARM_UP,
        "wall_s": round(wall_s),
        "bounds": asdict(BOUNDS),
        "problems": find_growth(rows, warm_up=WARM_UP, bounds=BOUNDS),
        "rows": [asdict(row) for row in rows],
    }
