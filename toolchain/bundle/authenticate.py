"""Who signed a bundle that lies on this machine: of which manifest the signature is, and whether the signer is one that was named."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.agent.bundle_files import SIGNATURE_NAME
from toolchain.agent.install.offer import SIGNATURE_SIZE_BYTES_MAX
from toolchain.agent.install.signature import NAMESPACE, check_data, verify_signature
from toolchain.agent.temporary import TemporaryFolder
from toolchain.errors import ExitCode, ToolchainError, missing, usage
from toolchain.run.regular_file import read_regular


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What is known of a bundle's signature."""

    is_there: bool
    """Beside the manifest, and of it; or nobody could tell."""
    signer: str | None
    """As the file of signers calls whoever made it; None where none were named."""
    data: bytes | None = field(default=None, compare=False, repr=False)
    """The content of its file."""


def authenticate_bundle(bundle: Path, manifest: bytes, signers: Path | None) -> Signature:
    """Return what is known of the signature beside a manifest, before anything of that is parsed.

    Args:
        bundle: its folder.
        manifest: the bytes of its manifest.json.
        signers: an allowed_signers file of OpenSSH, as `enroll` gives to boards; None where the user named nobody.

    Raises:
        ToolchainError: exit 10 a signature of another manifest, or none at all; with signers also no signature, and one of
            somebody else. Exit 2 no file of signers, 3 with signers, and no ssh-keygen that can tell.
    """
    if signers is not None and not signers.is_file():
        raise usage(
            "there is no file of signers",
            where=str(signers),
            expected=f'lines such as: ci@example.org namespaces="{NAMESPACE}" ssh-ed25519 AAAA...',
            fix="write it from the public keys of those who sign; see ssh-keygen(1), ALLOWED SIGNERS",
        )
    data = _read_signature(bundle)
    if data is None:
        if signers is None:
            return Signature(is_there=False, signer=None)
        raise ToolchainError(
            ExitCode.SIGNATURE,
            "the bundle is not signed",
            where=str(bundle / SIGNATURE_NAME),
            expected=f"a signature of somebody in {signers}",
            found="none",
            fix="get the bundle from somebody who signs it; without --signers it is measured as the stranger's that it is",
        )
    with TemporaryFolder() as folder:
        path = folder / SIGNATURE_NAME  # ssh-keygen reads a file, and this one nobody else writes
        path.write_bytes(data)
        try:
            if signers is not None:
                return Signature(
                    is_there=True, signer=verify_signature(manifest, path, allowed_signers=signers), data=data
                )
            check_data(manifest, path)
        except ToolchainError as error:
            if error.code == ExitCode.SIGNATURE:
                raise
            if signers is not None:
                fix = "install OpenSSH's client, 8.2 or newer: openssh-client"
                raise missing("there is no ssh-keygen that can check signatures", where="PATH", fix=fix) from error
    return Signature(
        is_there=True, signer=None, data=data
    )  # without ssh-keygen the report says "not checked", as of any signer


def _read_signature(bundle: Path) -> bytes | None:
    path = bundle / SIGNATURE_NAME
    if not os.path.lexists(path):
        return None
    try:
        return read_regular(path, size_max=SIGNATURE_SIZE_BYTES_MAX, follow=False)
    except OSError as error:
        raise ToolchainError(
            ExitCode.SIGNATURE,
            "this is no signature",
            where=str(path),
            expected=f"a regular file of at most {SIGNATURE_SIZE_BYTES_MAX} bytes",
            found=str(error.strerror),
            fix="copy the bundle again from where it was signed",
        ) from error
