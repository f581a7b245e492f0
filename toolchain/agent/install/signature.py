"""Verifies the signature of a manifest with what a board already has: `ssh-keygen -Y verify` of OpenSSH 8.2 or newer.

The format is SSHSIG (PROTOCOL.sshsig of OpenSSH). Only ssh-keygen's exit codes accept; its words only tell failures
apart, so that an OpenSSH with other words refuses the same bundles with a less exact message.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import List, Optional, Tuple

from ..errors import ExitCode, ToolchainError

# A signature holds for one purpose (PROTOCOL.sshsig of OpenSSH): one of a git commit must not open a board.
NAMESPACE = "edge-toolchain-bundle"
ALLOWED_SIGNERS_NAME = "allowed_signers"
REVOKED_KEYS_NAME = "revoked_keys"


def _refuse(what: str, found: Optional[str], fix: str) -> ToolchainError:
    expected = f"a signature of an allowed signer in the namespace {NAMESPACE}"
    return ToolchainError(ExitCode.SIGNATURE, what, where="manifest.json.sig", expected=expected, found=found, fix=fix)


def _run_ssh_keygen(arguments: List[str], data: bytes) -> Tuple[bool, str]:
    """Return whether it accepted, and what it said."""
    command = ["ssh-keygen", "-Y", *arguments]
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, check=False
        )
    except OSError as error:
        raise ToolchainError(
            ExitCode.INCOMPATIBLE,
            "this board cannot check signatures",
            where="ssh-keygen",
            expected="OpenSSH 8.2 or newer",
            found=error.strerror,
            fix="install it on the board: apt-get install openssh-client",
        ) from error
    accepted = done.returncode == 0
    # Warnings of a run that accepted are no answer; the reasons of one that refused are on either.
    text = (done.stdout if accepted else done.stdout + done.stderr).decode("utf-8", errors="replace").strip()
    if "unknown option -- Y" in text or "illegal option -- Y" in text:
        fix = "upgrade OpenSSH on the board"
        what = "this board's ssh-keygen is too old to check signatures"
        raise ToolchainError(
            ExitCode.INCOMPATIBLE, what, where="ssh-keygen", expected="OpenSSH 8.2 or newer", found=text, fix=fix
        )
    return accepted, text


def check_data(data: bytes, signature_path: Path) -> str:
    """Return the key that really signed these bytes in our namespace, whoever's it is; raises as verify_signature."""
    accepted, text = _run_ssh_keygen(["check-novalidate", "-n", NAMESPACE, "-s", str(signature_path)], data)
    if accepted:
        match = re.search(r"with (\S+ key \S+)", text)
        return match.group(1) if match else "an unknown key"
    if "namespace" in text:
        fix = f"sign with `ssh-keygen -Y sign -n {NAMESPACE}`, as `toolchain deploy` does"
        raise _refuse("the signature was made for another purpose", text, fix)
    if "incorrect signature" in text:
        fix = "the manifest was changed, or this signature is another bundle's: build and sign the bundle again"
        raise _refuse("the signature is not of this manifest", text, fix)
    raise _refuse("this is no signature", text, "sign the bundle again")


def verify_signature(
    data: bytes, signature_path: Path, *, allowed_signers: Path, revoked_keys: Optional[Path] = None
) -> str:
    """Return the principal, as allowed_signers names it, who signed these bytes.

    Raises ToolchainError: exit 10 no signature, of other bytes, for another purpose, of an unknown, expired or revoked
    key; exit 12 no ssh-keygen that can tell.
    """
    key = check_data(data, signature_path)
    found, text = _run_ssh_keygen(["find-principals", "-s", str(signature_path), "-f", str(allowed_signers)], b"")
    if not found:
        fix = f"sign with an allowed key; or have the board's owner add this one to {allowed_signers}"
        if "expired" in text or "not yet valid" in text:
            fix = f"sign with a key that is valid now; or renew this one in {allowed_signers}; is the board's clock right?"
        raise _refuse("the signature is not of an allowed signer", f"{key}: {text}", fix)
    reasons = []
    # A line of allowed_signers may name several, and patterns, of which each matches itself; !NAME is one to refuse.
    names = [name for line in text.splitlines() for name in line.split(",") if not name.startswith("!")]
    for principal in names:
        options = ["-n", NAMESPACE, "-f", str(allowed_signers), "-I", principal, "-s", str(signature_path)]
        # ssh-keygen itself refuses everything where the file of revoked keys cannot be read.
        revoked = [] if revoked_keys is None else ["-r", str(revoked_keys)]
        accepted, reason = _run_ssh_keygen(["verify", *options, *revoked], data)
        if accepted:
            return principal
        reasons.append(reason)
        if revoked and _run_ssh_keygen(["verify", *options], data)[0]:
            fix = "sign with another key; this one must not be trusted any more"
            raise _refuse("the key of the signature is revoked", f"{key} in {revoked_keys}", fix)
    fix = f"look at the options of this key in {allowed_signers}"
    raise _refuse("the signer is not allowed to sign bundles", f"{key}: {'; '.join(reasons)}", fix)
