"""Takes the file of those who may sign: from then on this board refuses an unsigned bundle."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, cast

from ..decode import decode, parse_json
from ..errors import ExitCode, ToolchainError
from ..regular import read_regular
from .audit import AuditLog
from .channel import Channel
from .folder import Folder
from .lock import take_lock
from .signature import ALLOWED_SIGNERS_NAME

# A line of the largest RSA key that OpenSSH makes is below 4 KiB; this is for hundreds of signers.
_SIZE_BYTES_MAX = 1024 * 1024
# PRINCIPALS [OPTIONS] KEYTYPE KEY, of ssh-keygen(1), ALLOWED SIGNERS.
_WORDS_MIN = 3


@dataclass(frozen=True)
class _Header:
    bytes: int


def list_signers(data: bytes, where: str) -> List[str]:
    """Return the lines that name signers; refuse (exit 2) a file with any line that is none, or without signers."""
    expected = "lines such as: ci@example.org ssh-ed25519 AAAA..."
    fix = "correct the file; see ssh-keygen(1), ALLOWED SIGNERS"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ToolchainError(
            ExitCode.USAGE, "the file of signers is no text", where=where, expected=expected, fix=fix
        ) from error
    lines = [line.strip() for line in text.splitlines()]
    signers = [line for line in lines if line and not line.startswith("#")]
    wrong = [line for line in signers if len(line.split()) < _WORDS_MIN]
    if wrong or not signers:
        found = repr(wrong[0]) if wrong else "no signer"
        raise ToolchainError(
            ExitCode.USAGE, "the file of signers names none", where=where, expected=expected, found=found, fix=fix
        )
    return signers


def _read_signers(path: Path) -> List[str]:
    # What is replaced may be anything; what is no file is replaced, or says so then.
    try:
        text = read_regular(path, _SIZE_BYTES_MAX).decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]


def enroll_signers(root: Path, who: str, channel: Channel) -> Dict[str, Any]:
    """Replace ROOT/allowed_signers with what the host sends, {"bytes": N} and N bytes; return the lines of both.

    Raises ToolchainError: exit 2 it names no signers, 15 the host is gone, 17 a deploy is running, 23 no such header.
    """
    header = cast("_Header", decode(_Header, parse_json(channel.read_line(), "stdin"), "stdin"))
    if not 0 <= header.bytes <= _SIZE_BYTES_MAX:
        what = "this file of signers is too large"
        raise ToolchainError(
            ExitCode.USAGE,
            what,
            where="stdin",
            expected=f"at most {_SIZE_BYTES_MAX} bytes",
            found=str(header.bytes),
            fix="name a file that holds signers and nothing else, one a line",
        )
    data = channel.read_bytes(header.bytes)
    signers = list_signers(data, "stdin")
    folder = Folder(root.absolute())
    folder.create()
    descriptor = take_lock(folder, who)
    try:
        log = AuditLog(folder, command="enroll", who=who)
        try:
            replaced = _read_signers(root / ALLOWED_SIGNERS_NAME)
            folder.write(ALLOWED_SIGNERS_NAME, data)
            log.write("enroll", "done", None, signers=signers, replaced=replaced)
        finally:
            log.close()
    finally:
        os.close(descriptor)
    return {"signers": signers, "replaced": replaced}
