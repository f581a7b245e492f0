"""Proves a release of this board again where it lies, and renews its verdict: nothing is sent, nothing switched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from ..bundle_files import MANIFEST_NAME, SIGNATURE_NAME
from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest
from ..measure.settings import MeasureSettings
from ..temporary import TemporaryFolder
from .admission import authenticate_release, check_fresh, check_signed_as_declared
from .audit import AuditLog
from .lock import take_lock
from .offered import list_offered
from .self_test import SAMPLES_NAME, SelfTest, run_self_test
from .slots import CURRENT, Slots
from .took import describe_took
from .trust import TrustState, read_state
from .verdict import (
    Verdict,
    check_pinned,
    describe_verdict,
    give_verdict,
    name_proven,
    read_verdict,
    record_failure,
    write_verdict,
)


def check_release(
    root: Path, bundle_id: Optional[str], settings: MeasureSettings, *, who: str, limit_s: float, pinned: Optional[str]
) -> Tuple[ExitCode, Dict[str, Any]]:
    """Return the verdict of a release (by default the active one) that is authenticated, hashed and measured again.

    `pinned` is the candidate that was proven, by its name, for a release whose verdict was not recorded here.

    One that passes gets a new verdict; one that fails has that written into the old one. Raises ToolchainError: exit 2
    no such release, 17 a deploy is running, 25 another payload passes than the proven one, else as signature, date,
    hashes and self-test find.
    """
    slots = Slots(root)
    chosen = bundle_id or slots.read_link(CURRENT)
    if chosen is None:
        raise ToolchainError(
            ExitCode.USAGE, "no release is active", where=str(root / CURRENT), fix="deploy a bundle first"
        )
    slots.create_folders()
    descriptor = take_lock(slots.folder, who)  # no deploy prunes it meanwhile, or disturbs the measurement
    try:
        log = AuditLog(slots.folder, command="check", who=who)
        try:
            return _prove(slots, chosen, settings, limit_s=limit_s, pinned=pinned, log=log)
        finally:
            log.close()
    finally:
        os.close(descriptor)


def _prove(
    slots: Slots, bundle_id: str, settings: MeasureSettings, *, limit_s: float, pinned: Optional[str], log: AuditLog
) -> Tuple[ExitCode, Dict[str, Any]]:
    trust = read_state(slots.folder)
    try:
        with slots.hold_release(bundle_id) as held:
            manifest = slots.check_proven(bundle_id, held)
            before = read_verdict(slots.folder, bundle_id)
            signer = _admit(slots, trust, bundle_id, manifest)
            pinned = _find_pinned(trust, bundle_id, manifest, before) or pinned
            result = _measure(slots.find_release(bundle_id), settings, held=held, limit_s=limit_s, pinned=pinned)
            slots.check_release(bundle_id, held)
        verdict: Optional[Verdict] = None
        if result.exit_code == ExitCode.PROVEN:
            verdict = give_verdict(slots.root, bundle_id, manifest, result.measurements, signer)
            check_pinned(before, verdict)
        else:
            failure = ToolchainError(result.exit_code, result.find_reason())
            record_failure(slots.folder, bundle_id, failure)
            log.write("check", "failed", bundle_id, code=int(failure.code), what=failure.what)
    except ToolchainError as error:
        record_failure(slots.folder, bundle_id, error)
        log.write("check", "failed", bundle_id, code=int(error.code), what=error.what)
        raise
    # A release that a killed deploy left unproven has no verdict to renew: that deploy has not got to its end. The active
    # one was proven, even where a lost state does not know of it.
    if verdict is not None and bundle_id in (*trust.proven, slots.read_link(CURRENT)):
        write_verdict(slots.folder, verdict)
        slots.settle_link(bundle_id)
        took = describe_took(result.measurements, manifest, verdict)
        log.write("check", "done", bundle_id, proven=describe_verdict(verdict), took=took)
    return result.exit_code, {
        "exit_code": int(result.exit_code),
        "bundle_id": bundle_id,
        "pinned": pinned,
        "manifest": (slots.find_release(bundle_id) / MANIFEST_NAME).read_bytes().decode("utf-8"),
        "signed": (slots.find_release(bundle_id) / SIGNATURE_NAME).is_file(),
        "folder": str(slots.find_release(bundle_id)),
        "signer": signer,
        "measurements": result.measurements,
        "samples_ms": result.samples_ms,
        "verdict": None if verdict is None else describe_verdict(verdict),
    }


def _find_pinned(trust: TrustState, bundle_id: str, manifest: Manifest, before: Optional[Verdict]) -> Optional[str]:
    """Return the candidate that was proven here, by the verdict or, where that is lost, by the board's state."""
    if before is not None:
        return name_proven(manifest, before)
    active = trust.active
    if active is None or bundle_id != trust.current:
        return None
    known = (active.precision, active.runtime, active.threads, active.pins_threads, active.payload, active.sha256)
    for name, own in list_offered(manifest).items():
        if (own.precision, own.runtime, own.threads, own.pins_threads, own.path, own.sha256) == known:
            return name
    return None


def _admit(slots: Slots, trust: TrustState, bundle_id: str, manifest: Manifest) -> Optional[str]:
    """Return who signed the release; what the board would not take today is not proven again either."""
    signer = authenticate_release(slots, bundle_id)
    check_signed_as_declared(manifest, signer)
    if bundle_id == trust.current:  # of others the counter is older by nature
        check_fresh(manifest, bundle_id, trust)
    return signer


def _measure(release: Path, settings: MeasureSettings, *, held: int, limit_s: float, pinned: Optional[str]) -> SelfTest:
    with TemporaryFolder() as folder:
        samples_path = folder / SAMPLES_NAME
        return run_self_test(release, settings, samples_path, held=held, limit_s=limit_s, pinned=pinned)
