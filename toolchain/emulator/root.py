"""The board's file system: built once, kept in the cache, never written to by a running board."""

from __future__ import annotations

import shutil
from pathlib import Path

from toolchain.emulator import packages
from toolchain.run.cache import cache_root, hash_json, hash_sources

USER = "board"
DATA = "/data"
PORT = 2222

_PASSWD = f"""root:x:0:0:root:/root:/bin/sh
sshd:x:74:65534:sshd:/run/sshd:/usr/sbin/nologin
{USER}:x:1000:1000:{USER}:{DATA}/home:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = f"root:x:0:\n{USER}:x:1000:\nnogroup:x:65534:\n"
# Keys only; and no sandbox of system calls, which the emulator does not know.
_SSHD = f"""Port {PORT}
ListenAddress 127.0.0.1
HostKey /etc/ssh/host_key
AuthorizedKeysFile /etc/ssh/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers {USER}
PidFile none
LogLevel ERROR
"""


def board_folder() -> Path:
    """Return the folder of everything that the emulated board leaves on this machine."""
    return cache_root() / "emulator"


def build_root(runtime: str) -> Path:
    """Return the root file system with a runtime, built now where there is none of this version; it appears in one step."""
    root = board_folder() / f"root-{hash_json([hash_sources(Path(__file__).parent), runtime])[:16]}"
    if root.is_dir():
        return root
    work = root.with_name("partial")
    shutil.rmtree(work, ignore_errors=True)
    partial = work / "root"
    partial.mkdir(parents=True)
    packages.unpack_packages(partial, work)
    packages.install_wheels(partial, runtime)
    _write_configuration(partial)
    for old in root.parent.glob("root-*"):
        shutil.rmtree(old)
    partial.rename(root)
    shutil.rmtree(work)
    return root


def _write_configuration(root: Path) -> None:
    for name in ("proc", "sys", "dev", "tmp", "run/sshd", "root", DATA.lstrip("/"), "etc/ssh"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "run/sshd").chmod(0o755)
    shell = root / "bin/sh"
    if not shell.exists():
        shell.symlink_to("dash")
    for name, text in {"passwd": _PASSWD, "group": _GROUP, "ssh/sshd_config": _SSHD}.items():
        (root / "etc" / name).write_text(text, encoding="utf-8")
