"""Tells the kernel to run arm64 programs through QEMU (Documentation/admin-guide/binfmt-misc.rst of Linux)."""

from __future__ import annotations

import shutil
from pathlib import Path

from toolchain.emulator.errors import run_tool
from toolchain.errors import missing

_FOLDER = Path("/proc/sys/fs/binfmt_misc")
_NAME = "edge-toolchain-aarch64"
# The first 20 bytes of an ELF file of 64 bits, little-endian, for EM_AARCH64 (183), and which of their bits count.
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"


def register_interpreter() -> None:
    """Register QEMU for aarch64, where nothing is; raises ToolchainError (exit 3) where the kernel has no binfmt_misc."""
    if not (_FOLDER / "register").exists():
        run_tool(
            ["mount", "-t", "binfmt_misc", "none", str(_FOLDER)],
            what="mounting binfmt_misc",
            fix="load the kernel's module as root: modprobe binfmt_misc; a container needs --privileged",
        )
    if any(_runs_arm64(entry) for entry in _FOLDER.iterdir()):
        return
    qemu = shutil.which("qemu-aarch64-static")
    if qemu is None:
        raise missing("qemu-aarch64-static is not installed", fix="sudo apt-get install qemu-user-static")
    # F: opened now, so that it is found from inside of the board's root. OC: with the caller's credentials.
    (_FOLDER / "register").write_text(f":{_NAME}:M::{_MAGIC}:{_MASK}:{qemu}:OCF", encoding="latin-1")


def _runs_arm64(entry: Path) -> bool:
    if entry.name in {"register", "status"}:
        return False
    text = entry.read_text(encoding="utf-8")
    return text.startswith("enabled") and "aarch64" in text and "F" in text.partition("flags:")[2].split("\n")[0]
