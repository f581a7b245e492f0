"""What a bundle offers to be proven, and which of it a self-test proved."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping

from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest


@dataclass(frozen=True)
class Shipped:
    """The payload that was proven, and how it was opened; `path` is within the bundle."""

    precision: str
    runtime: str
    threads: int
    pins_threads: bool
    path: str
    sha256: str
    size_bytes: int


def describe_shipped(shipped: Shipped) -> str:
    """Return what people call it, whatever else its bundle offers."""
    pinned = "pinned " if shipped.pins_threads else ""
    threads = f"{shipped.threads} {pinned}thread{'' if shipped.threads == 1 else 's'}"
    return f"{shipped.precision} by {shipped.runtime} on {threads}"


def list_offered(manifest: Manifest) -> Dict[str, Shipped]:
    """Return what may be proven of a bundle, by the names of its candidates."""
    files = {entry.path: entry for entry in manifest.files}
    return {
        name: Shipped(
            precision=candidate.precision,
            runtime=candidate.runtime,
            threads=candidate.threads,
            pins_threads=candidate.pins_threads,
            path=candidate.path,
            sha256=files[candidate.path].sha256,
            size_bytes=files[candidate.path].size_bytes,
        )
        for name, candidate in zip(manifest.names, manifest.candidates)  # noqa: B905 - Python 3.8 has no strict
    }


def read_shipped(manifest: Manifest, measurements: Mapping[str, Any]) -> Shipped:
    """Return the payload that a self-test proved; raises ToolchainError (exit 21) where it names none of the bundle's."""
    told = measurements.get("shipped")
    offered = list_offered(manifest)
    shipped = next((own for own in offered.values() if isinstance(told, Mapping) and asdict(own) == dict(told)), None)
    if shipped is None:
        raise ToolchainError(
            ExitCode.ROLLED_BACK,
            "the self-test does not name the payload that it proved",
            where="shipped",
            expected=f"one of {', '.join(offered)}, as the manifest has it",
            found=str(told),
            fix="build the bundle again",
        )
    return shipped
