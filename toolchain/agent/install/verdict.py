"""The verdict of a release, ROOT/verdicts/ID.json: what was proven of it on this board, when, and what that rests on.

It is written before the rename of `current` makes its release the active one, so that the two change in one step.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, cast

from ..clock import format_utc, parse_utc, read_time_s
from ..contents import compute_sha256
from ..decode import decode, parse_json
from ..durable import remove_tree
from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest
from ..measure.environment import Environment, describe_environment, read_environment
from ..measure.libraries import HashedFile, hash_libraries
from .folder import Folder
from .offered import Shipped, describe_shipped, list_offered, read_shipped
from .usable_cpus import count_usable_cpus

VERDICTS = "verdicts"
SCHEMA = 3
ENGINES = "engines"
# By which a self-test says that the payload does not do what it did.
_FAILURES = (
    *(ExitCode.PARITY, ExitCode.METRIC, ExitCode.LATENCY),
    *(ExitCode.MALFORMED, ExitCode.ROLLED_BACK, ExitCode.EXPIRED),
)


@dataclass(frozen=True)
class BuiltEngine:
    """The engine that the runtime built of the payload, and that was proven in its place; `path` is under ROOT."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Failure:
    """A later try to prove the release again, that failed."""

    time: str
    exit_code: int
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What was proven. `signer` is None for what was not signed; `failure` is the last try where that failed.

    `python_path` is the interpreter that measured; another one may see another runtime.
    `libraries` are what the hashes of `environment.libraries` were read from: what did not change is not read again.
    `cpus` are those that its threads could use.
    """

    schema: int
    bundle_id: str
    model: str
    target: str
    shipped: Shipped
    engine: Optional[BuiltEngine]
    exit_code: int
    time: str
    signer: Optional[str]
    python_path: str
    cpus: float
    environment: Environment
    libraries: Mapping[str, HashedFile]
    failure: Optional[Failure]


def find_verdict(root: Path, bundle_id: str) -> Path:
    """Return where the verdict of a release lies."""
    return root / VERDICTS / f"{bundle_id}.json"


def _open_verdicts(root: Folder) -> Folder:
    return Folder(root.path / VERDICTS, within=root)


def read_verdict(root: Folder, bundle_id: str) -> Optional[Verdict]:
    """Return the verdict of a release, None where none was recorded; raises ToolchainError (exit 23) for a broken one."""
    path = find_verdict(root.path, bundle_id)
    data = _open_verdicts(root).read(path.name)
    if data is None:
        return None
    fix = "deploy the bundle again"
    try:
        verdict = cast("Verdict", decode(Verdict, parse_json(data, path.name), path.name))
    except ToolchainError as error:
        what = "the verdict of a release cannot be read"
        raise ToolchainError(
            ExitCode.MALFORMED, what, where=error.where, expected=error.expected, found=error.found, fix=fix
        ) from error
    if verdict.schema != SCHEMA or verdict.bundle_id != bundle_id:
        what = "the verdict of a release is of another one, or of a newer toolchain"
        found = f"{verdict.bundle_id}, schema {verdict.schema}"
        raise ToolchainError(
            ExitCode.MALFORMED, what, where=str(path), expected=f"{bundle_id}, schema {SCHEMA}", found=found, fix=fix
        )
    _check_claim(verdict, str(path))
    return verdict


def _check_claim(verdict: Verdict, where: str) -> None:
    """Refuse (exit 23) a verdict that says of itself that nothing was proven, or at no time."""
    expected, fix = f"exit code 0, at a time such as {format_utc(0)}", "deploy the bundle again"
    found = f"exit code {verdict.exit_code}, {verdict.time}"
    try:
        parse_utc(verdict.time)
    except ValueError as error:
        what = "the verdict of a release has no time"
        raise ToolchainError(ExitCode.MALFORMED, what, where=where, expected=expected, found=found, fix=fix) from error
    if verdict.exit_code != ExitCode.PROVEN:
        what = "the verdict of a release is that it was not proven"
        raise ToolchainError(ExitCode.MALFORMED, what, where=where, expected=expected, found=found, fix=fix)


def write_verdict(root: Folder, verdict: Verdict) -> None:
    """Replace the verdict of a release in one step."""
    data = json.dumps(asdict(verdict), sort_keys=True, allow_nan=False) + "\n"
    _open_verdicts(root).write(find_verdict(root.path, verdict.bundle_id).name, data.encode("utf-8"))


def remove_verdict(root: Folder, bundle_id: str) -> None:
    """Remove the verdict of a release, if there is one."""
    remove_tree(find_verdict(root.path, bundle_id))


def describe_verdict(verdict: Verdict) -> Dict[str, Any]:
    """Return what people and scripts ask for first: which payload of which model was proven, when, signed by whom."""
    shipped, engine = verdict.shipped, verdict.engine
    return {
        "model": verdict.model,
        "target": verdict.target,
        "precision": shipped.precision,
        "runtime": shipped.runtime,
        "threads": shipped.threads,
        "pins_threads": shipped.pins_threads,
        "payload": shipped.path,
        "sha256": shipped.sha256,
        "engine": None if engine is None else asdict(engine),
        "time": verdict.time,
        "signer": verdict.signer,
        "environment": describe_environment(verdict.environment),
    }


def record_failure(root: Folder, bundle_id: str, error: ToolchainError) -> None:
    """Write into a verdict that its release could not be proven again; where there is no verdict, there is no claim.

    Other errors than _FAILURES say nothing of the payload: a worthless measurement, a full disk; or, such as a revoked
    key or another runtime, they are found at every asking, for as long as they last.
    """
    if error.code not in _FAILURES:
        return
    try:
        verdict = read_verdict(root, bundle_id)
    except ToolchainError:  # broken, which `status` tells; what failed is told to the host all the same
        return
    if verdict is not None:
        failure = Failure(time=format_utc(read_time_s()), exit_code=int(error.code), reason=error.what)
        write_verdict(root, replace(verdict, failure=failure))


def check_pinned(before: Optional[Verdict], now: Verdict) -> None:
    """Refuse (exit 25) a self-test that passed by another payload than the one that was proven, and is linked to."""
    if before is not None and before.shipped != now.shipped:
        what = f"{describe_shipped(before.shipped)} was proven, and does not pass any more"
        found = f"{describe_shipped(now.shipped)} passes"
        fix = "deploy the model again: a deploy chooses what is shipped"
        raise ToolchainError(
            ExitCode.EXPIRED, what, where=now.bundle_id, expected=before.shipped.path, found=found, fix=fix
        )


def give_verdict(
    root: Path, bundle_id: str, manifest: Manifest, measurements: Mapping[str, Any], signer: Optional[str]
) -> Verdict:
    """Return the verdict of a self-test that has just passed.

    Raises ToolchainError: exit 20 the runtime was exchanged while it was measured, exit 21 the release's agent does not
    say which of the payloads it proved.
    """
    shipped = read_shipped(manifest, measurements)
    libraries = hash_libraries(shipped.runtime, {})
    environment = read_environment(shipped.runtime, libraries)
    _check_runtime_is_the_measured(environment, measurements)
    return Verdict(
        schema=SCHEMA,
        bundle_id=bundle_id,
        model=manifest.model,
        target=manifest.target,
        shipped=shipped,
        engine=_find_engine(root, measurements, shipped),
        exit_code=int(ExitCode.PROVEN),
        time=format_utc(read_time_s()),
        signer=signer,
        python_path=sys.executable or "",
        cpus=count_usable_cpus(),
        environment=environment,
        libraries=libraries,
        failure=None,
    )


def _check_runtime_is_the_measured(environment: Environment, measurements: Mapping[str, Any]) -> None:
    # The self-test ran in a process of its own, before: what lies here now must be what it loaded.
    now = environment.runtime_version or "none"
    record = measurements.get("record") or {}
    device, then = ((record.get(name) or {}).get(environment.runtime) or {} for name in ("devices", "environments"))
    measured = str(device.get("runtime_version") or now)
    libraries = then.get("libraries", environment.libraries)
    # A package may say more than its module: 10.3.0.30 and 10.3.0.
    is_same_version = measured.startswith(now) or now.startswith(measured)
    if not is_same_version or dict(libraries) != dict(environment.libraries):
        what, fix = "the runtime was exchanged while the release was proven", "deploy again"
        raise ToolchainError(ExitCode.INVALID, what, where=environment.runtime, expected=measured, found=now, fix=fix)


def name_proven(manifest: Manifest, verdict: Verdict) -> str:
    """Return the name of the candidate that was proven; raises ToolchainError (exit 11) where it is none of the bundle's."""
    proven = verdict.shipped
    name = next((name for name, own in list_offered(manifest).items() if own == proven), None)
    # What it rests on is looked at by the runtime that its environment names.
    is_of_runtime = verdict.environment.runtime == proven.runtime
    is_own = (verdict.model, verdict.target) == (manifest.model, manifest.target)
    if name is None or not is_own or not is_of_runtime:
        what = "the verdict is about a payload that the bundle does not have"
        where, fix = f"{VERDICTS}/{verdict.bundle_id}.json", "deploy the bundle again"
        claim = f"{verdict.model} for {verdict.target}, {describe_shipped(proven)}: {proven.path}"
        raise ToolchainError(
            ExitCode.CONTENT, what, where=where, expected="a payload of the manifest", found=claim, fix=fix
        )
    return name


def check_proven(root: Path, manifest: Manifest, verdict: Verdict) -> None:
    """Refuse (exit 11) a verdict about other bytes than the manifest's, and an engine that is not the proven one."""
    name_proven(manifest, verdict)
    engine = verdict.engine
    if engine is None:
        return
    path = root / engine.path
    found = compute_sha256(path) if path.is_file() and not path.is_symlink() else None
    if found != engine.sha256:
        what, fix = "the engine is not the one that was proven", "deploy the bundle again, which proves a new one"
        raise ToolchainError(
            ExitCode.CONTENT, what, where=str(path), expected=f"sha256 {engine.sha256}", found=found or "none", fix=fix
        )


def _find_engine(root: Path, measurements: Mapping[str, Any], shipped: Shipped) -> Optional[BuiltEngine]:
    # Two runtimes may have one file, of which one builds an engine.
    own = (shipped.path, shipped.runtime)
    candidates = (measurements.get("record") or {}).get("candidates", ())
    found = [item["payload"] for item in candidates if (item["payload"].get("path"), item.get("runtime")) == own]
    engine = next((payload.get("engine") for payload in found), None)
    if engine is None:
        return None
    # Found by what it holds: its name is a matter of the release's own agent.
    for path in sorted((root / ENGINES).glob("*.engine")):
        is_of_size = path.is_file() and path.stat().st_size == engine["size_bytes"]
        if is_of_size and compute_sha256(path) == engine["sha256"]:
            return BuiltEngine(f"{ENGINES}/{path.name}", engine["sha256"], engine["size_bytes"])
    what, fix = "the engine that was proven is not on the board any more", "deploy again"
    expected = f"an engine of sha256 {engine['sha256']}"
    raise ToolchainError(ExitCode.CONTENT, what, where=str(root / ENGINES), expected=expected, found="none", fix=fix)
