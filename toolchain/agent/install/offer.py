"""What a host offers first: the manifest and its signature, by size, before anything of them is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ..decode import decode, parse_json
from ..errors import ExitCode, ToolchainError
from ..manifest import MANIFEST_SIZE_BYTES_MAX
from .channel import Channel

PROTOCOL = 1
# A signature of RSA with 16384 bits, the largest that OpenSSH makes, with a certificate, armored, is below 16 KiB.
SIGNATURE_SIZE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True)
class Offer:
    """The raw bytes of manifest.json, and of manifest.json.sig (none where the bundle is not signed)."""

    manifest_bytes: bytes
    signature_bytes: bytes


@dataclass(frozen=True)
class _Header:
    protocol: int
    manifest_bytes: int
    signature_bytes: int


def read_offer(channel: Channel) -> Offer:
    """Return the host's offer; raises ToolchainError: exit 15 the host is gone, 23 no offer of ours, or too large."""
    try:
        header = cast("_Header", decode(_Header, parse_json(channel.read_line(), "stdin"), "stdin"))
    except ToolchainError as error:
        if error.code != ExitCode.MALFORMED:
            raise
        what, fix = "this is not a host of this toolchain", "deploy with `toolchain deploy`"
        raise ToolchainError(
            ExitCode.MALFORMED, what, where=error.where, expected=error.expected, found=error.found, fix=fix
        ) from error
    fits = 0 <= header.manifest_bytes <= MANIFEST_SIZE_BYTES_MAX
    fits = fits and 0 <= header.signature_bytes <= SIGNATURE_SIZE_BYTES_MAX
    if header.protocol != PROTOCOL or not fits:
        expected = f"protocol {PROTOCOL}, at most {MANIFEST_SIZE_BYTES_MAX} and {SIGNATURE_SIZE_BYTES_MAX} bytes"
        found = f"protocol {header.protocol}, {header.manifest_bytes} and {header.signature_bytes} bytes"
        what = "this board cannot take what the host offers"
        raise ToolchainError(
            ExitCode.MALFORMED,
            what,
            where="stdin",
            expected=expected,
            found=found,
            fix="use the agent of the host's version",
        )
    return Offer(
        manifest_bytes=channel.read_bytes(header.manifest_bytes),
        signature_bytes=channel.read_bytes(header.signature_bytes),
    )
