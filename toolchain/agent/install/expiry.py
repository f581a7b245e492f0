"""Whether a verdict still holds: what it rests on, compared with what is there now. Nothing is measured or changed."""

from __future__ import annotations

from typing import List, Optional

from ..clock import parse_utc
from ..errors import ToolchainError
from ..manifest import Manifest
from ..measure.environment import Environment, read_environment
from ..measure.libraries import hash_libraries
from ..measure.version import matches_version
from .admission import authenticate_release, check_fresh, check_signed_as_declared
from .slots import Slots
from .trust import TrustState
from .usable_cpus import count_usable_cpus
from .verdict import Verdict

_NAMED_MAX = 5


def list_changes(before: Environment, now: Environment) -> List[str]:
    """Return what differs between two environments, a line each, in the words of a person."""
    changes = []
    if before.runtime_version != now.runtime_version:
        changes.append(_describe_change(before.runtime, before.runtime_version, now.runtime_version))
    elif before.package_version != now.package_version:
        changes.append(_describe_change(f"package {before.runtime}", before.package_version, now.package_version))
    elif before.libraries != now.libraries:
        names = {*before.libraries, *now.libraries}
        differ = [name for name in sorted(names) if before.libraries.get(name) != now.libraries.get(name)]
        changes.append(f"{before.runtime} {now.runtime_version}: other bytes in {_join(differ)}")
    pairs = (
        ("Python", before.python, now.python),
        ("architecture", before.arch, now.arch),
        ("CPU", before.cpu, now.cpu),
        ("kernel", before.kernel, now.kernel),
        ("GPU driver", before.gpu_driver, now.gpu_driver),
        ("L4T", before.l4t, now.l4t),
        ("power mode", before.power_mode, now.power_mode),
    )
    changes += [_describe_change(name, was, is_now) for name, was, is_now in pairs if was != is_now]
    lost = sorted(set(before.cpu_features) - set(now.cpu_features))
    new = sorted(set(now.cpu_features) - set(before.cpu_features))
    if lost or new:
        parts = [f"{word} {_join(names)}" for word, names in (("lost", lost), ("new", new)) if names]
        changes.append(f"CPU features: {', '.join(parts)}")
    return changes


def _describe_change(name: str, was: Optional[str], now: Optional[str]) -> str:
    return f"{name} {was or 'none'} → {now or 'none'}"


def _join(names: List[str]) -> str:
    rest = len(names) - _NAMED_MAX
    return " ".join(names[:_NAMED_MAX]) + (f" and {rest} more" if rest > 0 else "")


def list_reasons(
    slots: Slots, trust: TrustState, bundle_id: str, manifest: Manifest, verdict: Optional[Verdict]
) -> List[str]:
    """Return why the verdict of a release holds no more, a line each; nothing means that it holds."""
    if verdict is None:
        return ["no verdict is recorded: an older toolchain proved it, or somebody removed the verdict"]
    # Libraries that are as they were when they were hashed are not read again: a hundred megabytes.
    runtime = verdict.shipped.runtime
    try:
        libraries = hash_libraries(runtime, verdict.libraries)
        now = read_environment(runtime, libraries)
    except OSError as error:
        return [f"{runtime} cannot be looked at: {error.filename}: {error.strerror}"]
    reasons = [*list_changes(verdict.environment, now), *_list_refusals(manifest, now)]
    reasons += list_lost_cpus(verdict, count_usable_cpus())
    reasons += _list_distrust(slots, trust, bundle_id, manifest, verdict)
    if verdict.failure is not None:
        failure = verdict.failure
        reasons.append(f"tried again on {failure.time}, and failed: {failure.reason} (exit {failure.exit_code})")
    return reasons


def list_lost_cpus(verdict: Verdict, cpus: float) -> List[str]:
    """Return that the threads of a payload have fewer CPUs than when they were timed: a core less, an affinity, a quota."""
    threads = verdict.shipped.threads
    if cpus >= min(verdict.cpus, threads):
        return []
    return [f"CPUs for {threads} thread{'' if threads == 1 else 's'}: {verdict.cpus:g} → {cpus:g}"]


def _list_refusals(manifest: Manifest, now: Environment) -> List[str]:
    required = manifest.compatible.runtime_versions.get(now.runtime)
    if required is None or now.runtime_version is None:
        return []
    try:
        is_allowed = matches_version(now.runtime_version, required)
    except ToolchainError:  # a version that cannot be read is none that was proven
        is_allowed = False
    forbidden = f"{now.runtime} {now.runtime_version} is none that the target {manifest.target} allows: {required}"
    return [] if is_allowed else [forbidden]


def _list_distrust(slots: Slots, trust: TrustState, bundle_id: str, manifest: Manifest, verdict: Verdict) -> List[str]:
    """Return why the board would not take this release any more: its signature, its date."""
    reasons = []
    try:
        signer = authenticate_release(slots, bundle_id)
        check_signed_as_declared(manifest, signer)
        if signer is None and verdict.signer is not None:
            reasons.append(f"signed by {verdict.signer}, and this board knows nobody who may sign any more")
    except ToolchainError as error:
        reasons.append(_describe_error(error))
    try:
        check_fresh(manifest, bundle_id, trust, proven_s=parse_utc(verdict.time))
    except ToolchainError as error:
        reasons.append(_describe_error(error))
    return reasons


def _describe_error(error: ToolchainError) -> str:
    return error.what if error.found is None else f"{error.what} ({' '.join(error.found.split())})"
