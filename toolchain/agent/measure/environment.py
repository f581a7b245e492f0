"""What a verdict rests on beside the bundle's bytes: the runtime and its libraries, Python, CPU, kernel, GPU driver.

Nothing of it is measured, and the runtime is not loaded, so that `status` can ask for it in a fraction of a second.
"""

from __future__ import annotations

import platform
import re
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from .cpu import read_cpu
from .jetson import read_jetson, read_text
from .libraries import HashedFile, find_module, hash_libraries

_VERSION = re.compile(r"^__version__\s*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)


@dataclass(frozen=True)
class Environment:
    """`runtime_version` is what the module says, `package_version` what its package says; None: not there, or unknown.

    `libraries` are the sha256 of the runtime's shared libraries by name. `power_mode` and `l4t` are a Jetson's.
    """

    runtime: str
    runtime_version: Optional[str]
    package_version: Optional[str]
    libraries: Mapping[str, str]
    python: str
    arch: str
    cpu: str
    cpu_features: Tuple[str, ...]
    kernel: str
    gpu_driver: Optional[str]
    l4t: Optional[str]
    power_mode: Optional[str]


def describe_environment(environment: Environment) -> Dict[str, object]:
    """Return an environment as JSON types."""
    return {**asdict(environment), "cpu_features": list(environment.cpu_features)}


def read_environment(runtime: str, libraries: Optional[Mapping[str, HashedFile]] = None) -> Environment:
    """Return what a verdict of this runtime rests on here and now; `libraries` where they are hashed already."""
    hashed = hash_libraries(runtime, {}) if libraries is None else libraries
    arch, cpu, cpu_features = read_cpu()
    jetson = read_jetson(Path("/"))
    package_version = _read_package_version(runtime)
    return Environment(
        runtime=runtime,
        runtime_version=_read_module_version(runtime, package_version),
        package_version=package_version,
        libraries={name: file.sha256 for name, file in hashed.items()},
        python=platform.python_version(),
        arch=arch,
        cpu=cpu,
        cpu_features=cpu_features,
        kernel=platform.release(),
        gpu_driver=read_text(Path("/sys/module/nvidia/version")),
        l4t=jetson.l4t,
        power_mode=jetson.power_mode,
    )


def _read_package_version(runtime: str) -> Optional[str]:
    try:
        return metadata.version(runtime)
    except metadata.PackageNotFoundError:  # not installed by pip, or as another package, such as onnxruntime-gpu
        return None


def _read_module_version(runtime: str, package_version: Optional[str]) -> Optional[str]:
    """Return the version that the module would tell, were it imported; None where there is no such module."""
    spec = find_module(runtime)
    if spec is None or spec.origin is None:  # a folder that is left of a package has no origin
        return None
    if spec.origin.endswith(".py"):
        match = _VERSION.search(Path(spec.origin).read_text(encoding="utf-8", errors="replace"))
        if match is not None:
            return match[1]
    return package_version or "unknown"
