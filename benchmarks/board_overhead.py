"""What the agent adds to a command on a board: its code looked for and checked by hash, Python and the agent started.

    python -m benchmarks.board_overhead [--device NAME]

Without a device it is an sshd of its own on the loopback address of this machine. All over one connection and in turns:
`true`; the agent that answers `status`, its code there already; the same with a folder in which the code is missing.
Prints one JSON line per case: the median wall time in seconds, that above `true`, every run, and the bytes of the code.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from toolchain.deploy.board import ROOT_ARGUMENT, Board, read_agent_code
from toolchain.deploy.reach import reach_board
from toolchain.project.device import Device, find_devices, read_devices

_ROUNDS = 15


@contextlib.contextmanager
def _make_loopback() -> Iterator[Device]:
    from tests.native_board import NativeBoard

    with tempfile.TemporaryDirectory() as folder:
        native = NativeBoard(Path(folder))
        native.start()
        try:
            path = Path(folder) / "devices.toml"
            path.write_text(native.describe(), encoding="utf-8")
            yield read_devices(path)["native"]
        finally:
            native.stop()


def _ask_status(board: Board) -> None:
    board.run("status", "--root", ROOT_ARGUMENT)


def _measure(device: Device) -> None:
    with reach_board(device) as board:
        connection = board._connection

        def run_true() -> None:
            connection.start("true").communicate()

        anew = f"{device.root}/overhead-{uuid.uuid4().hex}"

        def start_anew() -> None:
            _ask_status(Board(connection, root=anew, python=device.python, stall_s=device.stall_s))

        cases: dict[str, Callable[[], None]] = {
            "true": run_true,
            "agent, its code there": lambda: _ask_status(board),
            "agent, its code missing": start_anew,
        }
        walls_s: dict[str, list[float]] = {name: [] for name in cases}
        _ask_status(board)
        for _ in range(_ROUNDS):
            for name, run in cases.items():
                started_s = time.perf_counter()
                run()
                walls_s[name].append(round(time.perf_counter() - started_s, 4))
            connection.start(f"rm -r {anew}").communicate()
    floor_s = statistics.median(walls_s["true"])
    for name, runs in walls_s.items():
        median_s = statistics.median(runs)
        row = {
            "case": name,
            "median_s": round(median_s, 3),
            "above_true_s": round(median_s - floor_s, 3),
            "runs_s": runs,
        }
        sys.stdout.write(json.dumps({**row, "code_bytes": len(read_agent_code())}) + "\n")


def main() -> None:
    """Print one row per case."""
    parser = argparse.ArgumentParser(description="Measure what the agent's start costs on a board.")
    parser.add_argument(
        "--device", help="a device of devices.toml; this machine through an sshd of its own if not given"
    )
    name = parser.parse_args().device
    with _make_loopback() if name is None else contextlib.nullcontext(find_devices(name)[0]) as device:
        _measure(device)


if __name__ == "__main__":
    main()
