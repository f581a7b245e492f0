"""Starts and stops the board: one process in namespaces of its own, with which everything on the board ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from toolchain.emulator.binfmt import register_interpreter
from toolchain.emulator.errors import require_tools, run_tool
from toolchain.emulator.root import DATA, PORT, USER, board_folder, build_root
from toolchain.errors import ExitCode, ToolchainError, usage
from toolchain.project.find import find_target
from toolchain.run.atomic import write_atomically

NAME = "board"
TARGET = "cpu-arm64"
_STORAGE_MB = 256
_START_LIMIT_S = 60.0
_TOOLS = {
    "apt-get": "apt",
    "chroot": "coreutils",
    "dpkg-deb": "dpkg",
    "mount": "mount",
    "qemu-aarch64-static": "qemu-user-static",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
}
# Runs as the first process of the board. All it mounts is gone when it ends. $1: the root, $2: size in MB, $3: the keys.
_BOOT = f"""
set -e
mount --make-rprivate /
mount -t tmpfs -o size=16m,mode=755 none "$1/etc/ssh"
cp "$3"/sshd_config "$3"/host_key "$3"/authorized_keys "$1/etc/ssh/"
mount -t proc none "$1/proc"
mount --rbind /dev "$1/dev"
mount --rbind /sys "$1/sys"
mount -t tmpfs -o size=64m,mode=1777 none "$1/tmp"
mount -t tmpfs -o "size=$2m,mode=755" none "$1{DATA}"
mkdir -p "$1{DATA}/home"
chown -R 1000:1000 "$1{DATA}"
exec chroot "$1" /usr/sbin/sshd -D -e
"""


def start_board(devices: Path, target: str = TARGET) -> None:
    """Start a board of a target and write it to a devices.toml; a board that runs already is stopped first.

    Raises ToolchainError: exit 2 for an unknown target and without root's rights, exit 3 where a tool is missing, exit 1 where it does not start.
    """
    require_root()
    runtime = find_target(target).runtime
    stop_board(devices)
    root = build_root(runtime)
    register_interpreter()
    run = board_folder() / "run"
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    _make_keys(run)
    shutil.copyfile(root / "etc/ssh/sshd_config", run / "sshd_config")
    with (run / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc"),
                *("sh", "-c", _BOOT, "sh", str(root), str(_STORAGE_MB), str(run)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    write_atomically(run / "pid", str(process.pid).encode())
    try:
        _wait_for_ssh(process, run)
    except BaseException:
        _kill(process.pid)
        raise
    _write_device(devices, run, target)


def require_root() -> None:
    """Refuse to go on where a tool (exit 3) or the right to mount (exit 2) is missing."""
    require_tools(_TOOLS)
    if os.geteuid() != 0:
        raise usage(
            "the emulated board needs root: it mounts file systems and enters a root of its own",
            expected="user 0",
            found=f"user {os.geteuid()}",
            fix="run the same with sudo",
        )


def stop_board(devices: Path) -> None:
    """End the board, whatever it does, and take it out of the devices.toml."""
    pid_file = board_folder() / "run" / "pid"
    if pid_file.is_file():
        pid = int(pid_file.read_text(encoding="utf-8"))
        if _is_board(pid):
            _kill(pid)
        pid_file.unlink()
    if devices.is_file():
        write_atomically(devices, _without_board(devices.read_text(encoding="utf-8")).encode())


def _make_keys(run: Path) -> None:
    for name in ("host_key", "user_key"):
        if not (run / name).exists():
            run_tool(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"emulated-board-{name}", "-f", str(run / name)],
                what="making a key",
                fix=f"make room on the disk, and remove {run / name} where it is half written",
            )
    shutil.copyfile(run / "user_key.pub", run / "authorized_keys")
    host_key = " ".join((run / "host_key.pub").read_text(encoding="utf-8").split()[:2])
    (run / "known_hosts").write_text(f"[127.0.0.1]:{PORT} {host_key}\n", encoding="utf-8")
    (run / "ssh_config").write_text(
        f"Host {NAME}\n  HostName 127.0.0.1\n  Port {PORT}\n  User {USER}\n  IdentityFile {run / 'user_key'}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {run / 'known_hosts'}\n  StrictHostKeyChecking yes\n",
        encoding="utf-8",
    )


def _wait_for_ssh(process: subprocess.Popen[bytes], run: Path) -> None:
    command = ["ssh", "-F", str(run / "ssh_config"), "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", NAME, "uname -m"]
    deadline_s = time.monotonic() + _START_LIMIT_S
    found = "nothing"
    while time.monotonic() < deadline_s and process.poll() is None:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.stdout.strip() == "aarch64":
            return
        found = (done.stderr or done.stdout).strip()
        time.sleep(0.2)
    log = (run / "log").read_text(encoding="utf-8", errors="replace").strip()
    raise ToolchainError(
        ExitCode.UNEXPECTED,
        "the emulated board does not start",
        where=str(run / "log"),
        expected=f"an sshd on 127.0.0.1:{PORT} that answers aarch64 within {_START_LIMIT_S:.0f} s",
        found=log or found,
        fix=f"see whether port {PORT} is taken, and whether this machine lets root make namespaces",
    )


def _is_board(pid: int) -> bool:
    try:
        return b"unshare" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _kill(pid: int) -> None:
    """Kill the process, and with it (--kill-child) the first process of the board's namespace, and so all of them."""
    os.kill(pid, signal.SIGKILL)
    deadline_s = time.monotonic() + _START_LIMIT_S
    while _is_board(pid) and time.monotonic() < deadline_s:
        with contextlib.suppress(ChildProcessError):  # another process may have started it
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)


def _write_device(devices: Path, run: Path, target: str) -> None:
    text = _without_board(devices.read_text(encoding="utf-8")) if devices.is_file() else ""
    text += (
        f'[{NAME}]  # emulated; python -m emulator writes and removes this table\ntarget = "{target}"\nhost = "{NAME}"\n'
        f'root = "{DATA}/edge-toolchain"\nssh_config = "{run / "ssh_config"}"\n'
    )
    write_atomically(devices, text.encode())


def _without_board(text: str) -> str:
    """Return a devices.toml without the table of the board; everything else stays as it was written."""
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        if line.startswith("["):
            inside = line.split("]")[0] == f"[{NAME}"
        if not inside:
            kept.append(line)
    return "".join(kept)
