"""Runs on the board before the agent does: looks whether the agent's code is there, takes it if not, and starts it.

The host sends the text of agent/ownership.py and of this file, as `python3 -I -B -c TEXT ROOT SHA256 SIZE ALIVE_S COMMAND
...`. It has to be understood by old Pythons, so that one of them can say that it is too old: no f-strings, no annotated
variables. Isolated (-I), because a Python that is given its program on the command line would look for modules in the folder
that it starts in first, which for ssh is the account's home, and in PYTHONPATH.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import runpy
import select
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time

if __name__ != "__main__":  # on a board the text of that module stands before this one
    from toolchain.agent.ownership import find_fault, is_writable_by_others, list_owners

# Of toolchain/agent/errors.py, which is not there yet.
_INCOMPATIBLE, _STORAGE, _CONNECTION_LOST = 12, 14, 15
_PYTHON_MIN = (3, 8)
_BLOCK_BYTES = 1 << 16
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


def _read_sources() -> dict:  # type: ignore[type-arg]
    # Of the folder that this process works in. Raises OSError for anything that is no file, or that others could change.
    sources = {}
    for parent, folders, names in os.walk("."):
        paths = [os.path.join(parent, name) for name in names]
        for path in [parent] + [os.path.join(parent, name) for name in folders] + paths:
            status = os.lstat(path)
            is_plain = stat.S_ISREG(status.st_mode) if path in paths else stat.S_ISDIR(status.st_mode)
            if not is_plain or status.st_uid not in list_owners() or is_writable_by_others(status, list_owners()):
                raise OSError(errno.EPERM, "not of ours", path)
        for path in paths:
            with open(path, "rb") as file:
                sources[os.path.relpath(path, ".")] = file.read().decode("utf-8", "replace")
    return sources


def _is_there(folder: str, sha256: str) -> bool:
    # A process that works in the folder keeps others from removing it; it may have been removed, or exchanged, just before.
    try:
        if os.path.islink(folder):
            return False
        os.chdir(folder)
        text = json.dumps(_read_sources(), sort_keys=True)
        is_at_its_place = os.path.samestat(os.stat("."), os.lstat(folder))
    except OSError:
        return False
    return is_at_its_place and hashlib.sha256(text.encode("ascii")).hexdigest() == sha256


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
    used = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(used, fcntl.LOCK_SH)  # the next command removes those that nobody holds
        os.chmod(partial, 0o755)  # noqa: S103 - other users of the board may look at what runs there
        for name in sorted(sources):
            path = os.path.join(partial, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(sources[name].encode("utf-8"))
            _sync(path)
        for parent, _, _ in os.walk(partial):
            _sync(parent)
        if _is_there(folder, os.path.basename(folder)):  # another command put it there at the same time
            return
        _remove(folder)
        os.rename(partial, folder)
        _sync(os.path.dirname(folder))
    finally:
        os.close(used)
        shutil.rmtree(partial, ignore_errors=True)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.unlink(path)


def _make_folder(path: str) -> None:
    # Nobody else may be able to put code there: neither while it is made, nor after.
    for folder in (os.path.dirname(path), path):
        _check_folder(folder)
        if not os.path.lexists(folder):
            os.makedirs(folder, mode=0o755, exist_ok=True)
        elif folder == path and os.path.islink(path):
            fix = "look at what it is, and move it away: mv {0} {0}.odd".format(path)
            _refuse(_STORAGE, "the agent's folder on the board is a link", path, "a folder", "a link", fix)
        _check_folder(folder)


def _check_folder(path: str) -> None:
    fault = find_fault(path, list_owners())
    if fault:
        _refuse(_STORAGE, "others than its owner could change the board's folder", *fault)


def _place_agent(root: str, sha256: str, size_bytes: int) -> str:
    folder = os.path.join(root, "agent", sha256)
    _make_folder(os.path.dirname(folder))
    if _is_there(folder, sha256):
        with contextlib.suppress(OSError):  # a disk that became read-only can still tell its status
            os.utime(folder)
        _say({"agent": "there"})
        return folder
    _say({"agent": "missing"})
    data = _receive(size_bytes)
    if hashlib.sha256(data).hexdigest() != sha256:
        fix = "try again; if it happens again, look at the board's memory and disk"
        _refuse(11, "the agent's code came damaged", folder, "sha256 " + sha256, "another one", fix)
    try:
        _write_sources(json.loads(data.decode("ascii")), folder)
    except OSError:
        if not _is_there(folder, sha256):
            raise
    if not _is_there(folder, sha256):
        fix = "deploy again; look at what changes files there"
        _refuse(11, "the agent's code is not what came", folder, "sha256 " + sha256, "another one", fix)
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
    os.umask(0o022)
    root, sha256 = os.path.abspath(os.path.expanduser(arguments[0])), arguments[1]
    try:
        folder = _place_agent(root, sha256, int(arguments[2]))
        _link_answer(root, folder, arguments[4])
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
