"""Runs on the board before the agent does: looks whether the agent's code is there, takes it if not, and starts it.

The host sends the text of this file, as `python3 -B -c TEXT ROOT SHA256 SIZE ALIVE_S COMMAND ...`. It has to be
understood by old Pythons, so that one of them can say that it is too old: no f-strings, no annotated variables.
"""

import contextlib
import hashlib
import json
import os
import runpy
import select
import shutil
import signal
import sys
import tempfile
import threading
import time

# Of toolchain/agent/errors.py, which is not there yet.
_INCOMPATIBLE, _STORAGE, _CONNECTION_LOST = 12, 14, 15
_PYTHON_MIN = (3, 8)
_BLOCK_BYTES = 1 << 16
# Of the agent's code, beside the one in use: some 200 kB each.
_KEPT_VERSIONS = 3
# What applications run, under ROOT: a link to the file of that name in the agent's code.
_ANSWER = "still_proven.py"
# The commands that write what that file reads.
_CHANGES = ("install", "rollback", "check")
# What a process that was asked to end gets, before it is ended.
_GRACE_S = 5


def _say(document: dict) -> None:  # type: ignore[type-arg] # dict[...] is no expression before Python 3.9
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _refuse(code: int, what: str, where: str, expected: str, found: str, fix: str) -> None:
    error = {"code": code, "what": what, "where": where, "expected": expected, "found": found, "fix": fix}
    _say({"error": error})
    sys.exit(code)


def _read_sources(folder: str) -> dict:  # type: ignore[type-arg]
    sources = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                sources[os.path.relpath(path, folder)] = file.read().decode("utf-8", "replace")
    return sources


def _is_there(folder: str, sha256: str) -> bool:
    text = json.dumps(_read_sources(folder), sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest() == sha256


def _receive(size_bytes: int) -> bytes:
    # Not through sys.stdin, which would take what is meant for the agent too.
    blocks = []
    while size_bytes > 0:
        block = os.read(0, min(size_bytes, _BLOCK_BYTES))
        if not block:
            sys.exit(_CONNECTION_LOST)
        blocks.append(block)
        size_bytes -= len(block)
    return b"".join(blocks)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_sources(sources: dict, folder: str) -> None:  # type: ignore[type-arg]
    # In a folder of its own and renamed: the agent is there whole or not at all.
    partial = tempfile.mkdtemp(prefix=".partial-", dir=os.path.dirname(folder))
    try:
        os.chmod(partial, 0o755)  # noqa: S103 - other users of the board may look at what runs there
        for name in sorted(sources):
            path = os.path.join(partial, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(sources[name].encode("utf-8"))
            _sync(path)
        for parent, _, _ in os.walk(partial):
            _sync(parent)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(partial, folder)
        _sync(os.path.dirname(folder))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _place_agent(root: str, sha256: str, size_bytes: int) -> str:
    folder = os.path.join(root, "agent", sha256)
    if _is_there(folder, sha256):
        with contextlib.suppress(OSError):  # a disk that became read-only can still tell its status
            os.utime(folder)
        _say({"agent": "there"})
        return folder
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    _say({"agent": "missing"})
    data = _receive(size_bytes)
    if hashlib.sha256(data).hexdigest() != sha256:
        fix = "try again; if it happens again, look at the board's memory and disk"
        _refuse(11, "the agent's code came damaged", folder, "sha256 " + sha256, "another one", fix)
    try:
        _write_sources(json.loads(data.decode("ascii")), folder)
    except OSError:
        if not _is_there(folder, sha256):  # else another command put it there at the same time
            raise
    _remove_old(root, folder)
    return folder


def _link_answer(root: str, folder: str, command: str) -> None:
    # It belongs to the board and not to a release, and to the agent that wrote last what it reads: looking at a board
    # with an older toolchain does not give its applications older code.
    path = os.path.join(root, _ANSWER)
    target = os.path.join(os.path.relpath(folder, root), "agent", "install", _ANSWER)
    is_wanted = command in _CHANGES or not os.path.exists(path)
    if not is_wanted or (os.path.islink(path) and os.readlink(path) == target):
        return
    with contextlib.suppress(OSError):  # a disk that takes nothing is what the command tells; the link stays as it was
        if os.path.lexists(path + ".new"):
            os.unlink(path + ".new")
        os.symlink(target, path + ".new")
        os.replace(path + ".new", path)
        _sync(root)


def _remove_old(root: str, folder: str) -> None:
    # Not all: an agent of another version may be running, and applications ask the one that the link leads to.
    parent = os.path.dirname(folder)
    linked = os.path.relpath(os.path.realpath(os.path.join(root, _ANSWER)), os.path.realpath(parent)).split(os.sep)[0]
    kept = (os.path.basename(folder), linked)
    names = [name for name in os.listdir(parent) if name not in kept and not name.startswith(".")]
    for name in sorted(names, key=lambda name: os.path.getmtime(os.path.join(parent, name)))[:-_KEPT_VERSIONS]:
        shutil.rmtree(os.path.join(parent, name), ignore_errors=True)


def _watch_host(alive_s: float) -> None:
    # A hang-up of stdin is the only sign that the host is gone: sshd signals nothing without a terminal.
    poll = select.poll()
    poll.register(0, 0)
    while True:
        events = poll.poll(alive_s * 1000)
        try:
            os.write(2, b'{"event": "alive"}\n')
        except OSError:
            events = [(0, select.POLLHUP)]
        if any(event & (select.POLLHUP | select.POLLERR) for _, event in events):
            os.killpg(0, signal.SIGTERM)
            time.sleep(_GRACE_S)
            os.killpg(0, signal.SIGKILL)


def main(arguments: list) -> None:  # type: ignore[type-arg]
    """Place the agent if need be and become it."""
    if sys.version_info[:2] < _PYTHON_MIN:
        found = "{}.{}".format(*sys.version_info)
        fix = "install a newer Python on the board, and name it with python = in devices.toml"
        _refuse(_INCOMPATIBLE, "the board's Python is too old", sys.executable, "3.8 or newer", found, fix)
    root, sha256 = os.path.expanduser(arguments[0]), arguments[1]
    try:
        folder = _place_agent(root, sha256, int(arguments[2]))
        _link_answer(root, folder, arguments[4])
        os.chdir(folder)
    except OSError as error:
        where = "{}: {}".format(error.filename, error.strerror)
        fix = "free some space on the board, or name another folder with root = in devices.toml"
        _refuse(_STORAGE, "the board's folder cannot be written", where, "a writable folder", root, fix)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # so that what the agent starts ends with it
    threading.Thread(target=_watch_host, args=(float(arguments[3]),), daemon=True).start()
    sys.path.insert(0, folder)
    sys.argv = ["agent.install"] + [root if argument == "{ROOT}" else argument for argument in arguments[4:]]
    runpy.run_module("agent.install", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
