"""Answers whatever lands in a folder, until SIGTERM.

    python answer.py ROOT FOLDER

Needs edge-toolchain-app alone. NAME.npy in FOLDER, moved there by rename, becomes NAME.json with the answers, and goes. What
cannot be answered becomes NAME.json with the error. As a service of systemd it says when it is ready, and that it lives
(sd_notify(3)); it exits with 0, or with the code of the error (docs/boards.md).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Dict

import numpy as np
from edge_app import Model, ToolchainError, open_current

_LOOK_S = 0.05
_LIVES_EVERY = 20  # looks: once a second


def notify(message: str) -> None:
    """Tell systemd, where it started this."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(message.encode(), "\0" + address[1:] if address[0] == "@" else address)


def answer(model: Model, path: Path) -> Dict[str, Any]:
    """Return what the model makes of a frame, in JSON types."""
    try:
        answers = model(np.load(str(path), allow_pickle=False))
    except (ToolchainError, ValueError, OSError) as error:
        return {"error": str(error)}
    listed = {name: np.asarray(rows).tolist() for name, rows in answers.items()}
    return {"release": model.release.bundle_id, "is_proven": model.is_proven, "answers": listed}


def serve(model: Model, folder: Path, ended: threading.Event) -> None:
    """Answer until it is ended."""
    looks = 0
    while not ended.wait(_LOOK_S):
        for path in sorted(folder.glob("*.npy")):
            written = path.with_suffix(".json.new")
            written.write_text(json.dumps(answer(model, path)) + "\n", encoding="utf-8")
            path.unlink()
            written.rename(path.with_suffix(".json"))
        if looks % _LIVES_EVERY == 0:
            notify("WATCHDOG=1")
        looks += 1


def main() -> int:
    """Return the exit code."""
    if len(sys.argv) != 3:
        print("usage: python answer.py ROOT FOLDER", file=sys.stderr)  # noqa: T201
        return 2
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        with open_current(sys.argv[1]) as model:
            notify(f"READY=1\nSTATUS={model.release.model} {model.release.precision}")
            serve(model, Path(sys.argv[2]), ended)
    except ToolchainError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return int(error.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
