"""The facts of a board, and whether a bundle may run on it."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple

from ..errors import ExitCode, ToolchainError
from ..manifest import Compatible
from .cpu import normalize_arch, read_cpu, read_text
from .session import find_runtime
from .version import matches_version


@dataclass(frozen=True)
class Facts:
    """What a board is. `cpu_features` are those that every core has, sorted; empty where the board tells none.

    `details` are the accelerator's, in JSON types: GPU, memory, driver, JetPack, power mode, clocks. None is unknown.
    """

    arch: str
    cpu: str
    cpu_features: Tuple[str, ...]
    os: str
    python: str
    runtime: str
    runtime_version: str
    accelerator: Optional[str]
    details: Mapping[str, object] = field(default_factory=dict)


def _read_os() -> str:
    pretty = [line for line in read_text("/etc/os-release").splitlines() if line.startswith("PRETTY_NAME=")]
    distribution = pretty[0].partition("=")[2].strip('"') if pretty else platform.system()
    return f"{distribution}, {platform.system()} {platform.release()}"


def is_this_cpu(facts: Facts) -> bool:
    """Return whether facts are of a CPU like this machine's."""
    return (facts.arch, facts.cpu, tuple(facts.cpu_features)) == read_cpu()


def is_this_accelerator(facts: Facts) -> bool:
    """Return whether facts are of this machine's own accelerator, with the same runtime and in the same power mode."""
    try:
        own = read_facts(facts.runtime)
    except ToolchainError:  # the runtime or the accelerator is missing here
        return False
    return describe_accelerator(facts) == describe_accelerator(own) and facts.accelerator is not None


def describe_accelerator(facts: Facts) -> Tuple[object, ...]:
    """Return what times on an accelerator depend on; its clocks and free memory, which come and go, are no part of it."""
    details = facts.details
    return (facts.runtime, facts.runtime_version, facts.accelerator, details.get("gpu"), details.get("power_mode"))


def read_facts(runtime: str) -> Facts:
    """Return the facts of this board; raises ToolchainError (exit 2, 3) where the runtime is unknown or missing."""
    module = find_runtime(runtime)
    arch, cpu, cpu_features = read_cpu()
    return Facts(
        arch=arch,
        cpu=cpu,
        cpu_features=cpu_features,
        os=_read_os(),
        python=platform.python_version(),
        runtime=runtime,
        runtime_version=module.read_version(),
        accelerator=module.read_accelerator(),
        details=module.read_details(),
    )


def check_compatible(compatible: Compatible, facts: Facts) -> None:
    """Refuse (exit 12) a board that the bundle was not made for; the error names the first thing that differs."""

    def refuse(where: str, expected: str, found: str, fix: str) -> ToolchainError:
        what = f"this bundle cannot run on this board ({facts.cpu})"
        return ToolchainError(ExitCode.INCOMPATIBLE, what, where=where, expected=expected, found=found, fix=fix)

    if compatible.arch is not None and normalize_arch(compatible.arch) != facts.arch:
        raise refuse("arch", compatible.arch, facts.arch, f"build for a target with arch {facts.arch}")
    if compatible.accelerator is not None and compatible.accelerator != facts.accelerator:
        found = facts.accelerator or "none"
        raise refuse("accelerator", compatible.accelerator, found, "build for a target with this accelerator")
    required = compatible.runtime_versions.get(facts.runtime)
    if required is not None and not matches_version(facts.runtime_version, required):
        fix = f"install {facts.runtime} {required} on the board, or build for a target with {facts.runtime_version}"
        raise refuse("runtime_version", required, facts.runtime_version, fix)
    lacking = sorted(set(compatible.cpu_features).difference(facts.cpu_features))
    if lacking:
        found = f"no {', '.join(lacking)}" if facts.cpu_features else "a board that does not tell its CPU's features"
        fix = "build for a target without these cpu_features"
        raise refuse("cpu_features", ", ".join(sorted(compatible.cpu_features)), found, fix)
