"""Whether a board lets a bundle in: who signed it, whether it is fresh, whether it fits. Nothing is changed here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from ..bundle_files import MANIFEST_NAME, SIGNATURE_NAME
from ..clock import format_utc, is_plausible, parse_utc, read_time_s
from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest
from .folder import Folder
from .signature import ALLOWED_SIGNERS_NAME, REVOKED_KEYS_NAME, verify_signature
from .slots import Slots
from .trust import TrustState

if TYPE_CHECKING:
    from .offer import Offer


def authenticate_offer(slots: Slots, offer: Offer, *, is_required: bool) -> Optional[str]:
    """Return who signed the offered bytes, None where nobody did and nobody has to.

    The board decides: where it has allowed_signers every bundle must be signed, whatever the host or the manifest say.
    Raises ToolchainError (exit 10, 12).
    """
    allowed_signers = slots.root / ALLOWED_SIGNERS_NAME
    if not os.path.lexists(str(allowed_signers)):
        if not is_required:
            return None
        fix = f"write the public keys that may sign into {allowed_signers} (ssh-keygen(1), ALLOWED SIGNERS)"
        what = "this board knows nobody who may sign, and unsigned bundles are not accepted"
        raise ToolchainError(
            ExitCode.SIGNATURE, what, where=str(allowed_signers), expected="allowed signers", found="no file", fix=fix
        )
    if not offer.signature_bytes:
        raise _refuse_unsigned()
    # ssh-keygen reads it from a file; what lies in staging without being a partial bundle goes with the next settling.
    signature_path = slots.staging / "offered.sig"
    signature_path.write_bytes(offer.signature_bytes)
    try:
        return _verify(slots.folder, offer.manifest_bytes, signature_path)
    finally:
        signature_path.unlink()


def authenticate_release(slots: Slots, bundle_id: str) -> Optional[str]:
    """Return who signed a release that lies on the board, by today's allowed and revoked keys.

    None where the board knows nobody who may sign. Raises ToolchainError (exit 10, 12), also for one that came before
    the board was enrolled, and is not signed.
    """
    release = slots.find_release(bundle_id)
    if not os.path.lexists(str(slots.root / ALLOWED_SIGNERS_NAME)):
        return None
    if not (release / SIGNATURE_NAME).is_file():
        raise _refuse_unsigned()
    return _verify(slots.folder, (release / MANIFEST_NAME).read_bytes(), release / SIGNATURE_NAME)


def _refuse_unsigned() -> ToolchainError:
    what = "the bundle is not signed, and this board has allowed_signers: it takes signed bundles only"
    fix = "sign the bundle with one of the keys in allowed_signers"
    return ToolchainError(ExitCode.SIGNATURE, what, where=SIGNATURE_NAME, expected="a signature", found="none", fix=fix)


def _check_trusted(root: Folder, name: str) -> None:
    # What ssh-keygen is about to read decides who may sign: nobody else may have written it, and it must have an end.
    try:
        os.close(root.open(name, os.O_RDONLY, code=ExitCode.SIGNATURE))
    except OSError as error:
        what, fix = "it cannot be told whom this board trusts", "make the file readable for the one who deploys"
        where, expected = str(root.path / name), "a file that can be read"
        raise ToolchainError(
            ExitCode.SIGNATURE, what, where=where, expected=expected, found=error.strerror, fix=fix
        ) from error


def _verify(folder: Folder, manifest_bytes: bytes, signature_path: Path) -> str:
    root = folder.path
    revoked_keys = root / REVOKED_KEYS_NAME
    for path in (root / ALLOWED_SIGNERS_NAME, revoked_keys):
        if os.path.lexists(str(path)):
            _check_trusted(folder, path.name)
    return verify_signature(
        manifest_bytes,
        signature_path,
        allowed_signers=root / ALLOWED_SIGNERS_NAME,
        revoked_keys=revoked_keys if os.path.lexists(str(revoked_keys)) else None,
    )


def check_signed_as_declared(manifest: Manifest, signer: Optional[str]) -> None:
    """Refuse (exit 10) a bundle that says itself that it must be signed, where no signature was verified."""
    if manifest.signature == "required" and signer is None:
        what = "the bundle's target requires a signature, and this board knows nobody who may sign"
        fix = (
            f'give the board its {ALLOWED_SIGNERS_NAME}, or set signature = "optional" in the target {manifest.target}'
        )
        raise ToolchainError(
            ExitCode.SIGNATURE, what, where=ALLOWED_SIGNERS_NAME, expected="a verified signature", found="none", fix=fix
        )


def check_fresh(manifest: Manifest, bundle_id: str, state: TrustState, *, proven_s: int = 0) -> None:
    """Refuse (exit 13) a bundle past its time, or one older than what the board had; its active bundle is never older.

    A counter is by default the time of a commit, and what is signed was committed before: a clock that is behind both
    counters is wrong, and can't tell whether the time of a bundle is over. So is one that is behind `proven_s`, at which
    the bundle was proven here.
    """
    if manifest.expires is not None:
        now_s = read_time_s()
        not_before_s = max(manifest.counter, state.counter, proven_s)
        if not is_plausible(now_s, not_before_s=not_before_s):
            raise ToolchainError(
                ExitCode.REPLAY,
                "the bundle expires, and the board's clock is too wrong to tell whether it has",
                where="clock",
                expected=f"after {format_utc(not_before_s)}",
                found=format_utc(now_s),
                fix="set the board's clock (timedatectl set-ntp true); counters of bundles that expire are times in seconds",
            )
        if now_s >= parse_utc(manifest.expires):
            fix = "build and sign the bundle again"
            what = "the bundle has expired"
            raise ToolchainError(
                ExitCode.REPLAY,
                what,
                where="expires",
                expected=f"after {format_utc(now_s)}",
                found=manifest.expires,
                fix=fix,
            )
    if manifest.counter < state.counter and bundle_id != state.current:
        raise ToolchainError(
            ExitCode.REPLAY,
            "the bundle is older than one that this board had",
            where="counter",
            expected=f"{state.counter} or more",
            found=str(manifest.counter),
            fix="build it again from a newer commit; to go back to the release before this one, use `toolchain rollback`",
        )
