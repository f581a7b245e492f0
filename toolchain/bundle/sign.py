"""Signs a bundle and the statement about it: an SSHSIG signature over the bytes, made by the system's ssh-keygen."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from toolchain.agent.install.signature import NAMESPACE
from toolchain.errors import ExitCode, ToolchainError, missing, usage
from toolchain.project.target import Target

# Of its own, beside the namespace of manifests that boards ask for: a signature holds for one purpose (PROTOCOL.sshsig of
# OpenSSH), and one of a verdict, whatever it says, must not be taken for one of a manifest, and so open a board.
STATEMENT_NAMESPACE = "edge-toolchain-statement"
# In place of the path of the key.
_WHERE = "--sign, or the device's sign"


def sign_manifest(manifest: bytes, key: Path) -> bytes:
    """Return the signature of the bytes of a manifest.json, as manifest.json.sig holds it; see sign_bytes."""
    return sign_bytes(manifest, key, namespace=NAMESPACE)


def sign_bytes(data: bytes, key: Path, *, namespace: str) -> bytes:
    """Return an armored SSHSIG signature that holds for one purpose, the namespace.

    key: a private OpenSSH key, or a public one whose private half the ssh-agent or a hardware token has. Raises
    ToolchainError: exit 2 a key that cannot sign, 3 there is no ssh-keygen. It does not say where the key lies: reports hold it.
    """
    if not _is_file(key):
        raise usage("there is no key to sign with", where=_WHERE, fix="make one: ssh-keygen -t ed25519 -f FILE")
    command = ["ssh-keygen", "-Y", "sign", "-n", namespace, "-f", str(key), "-"]
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        fix = "install OpenSSH's client: openssh-client"
        raise missing("there is no ssh-keygen", where="PATH", fix=fix) from error
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        raise usage(
            "the key cannot sign",
            where=_WHERE,
            expected="an OpenSSH key, readable by you alone; one with a passphrase in the ssh-agent, and its .pub here",
            found=_hide_path(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2], key),
            fix=f"make this work first: ssh-keygen -Y sign -n {namespace} -f KEY ANY_FILE",
        )
    return done.stdout


def _hide_path(text: str, key: Path) -> str:
    path = os.fsencode(key).decode("utf-8", "replace")
    return re.sub(rf"(?<!\w){re.escape(path)}(?!\w)", "KEY", text)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that is not ours, a name that is too long
        return False


def refuse_unsigned(target: Target, key: Path | None) -> None:
    """Refuse (exit 10) to build what the board would refuse: no key where the target requires a signature."""
    if target.signature == "required" and key is None:
        raise ToolchainError(
            ExitCode.SIGNATURE,
            f"the target {target.name} takes signed bundles alone",
            where=str(target.path),
            expected="a key to sign with",
            found="none",
            fix='give one with --sign KEY, or set signature = "optional" in the target',
        )
