"""The CPU of a board: its architecture, its name, its features."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Dict, List, Tuple

# What Windows and macOS call the architectures of Linux.
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


def normalize_arch(name: str) -> str:
    """Return Linux's name of an architecture, such as x86_64 or aarch64."""
    return _ARCHITECTURES.get(name.lower(), name.lower())


def parse_cpuinfo(text: str, arch: str) -> Tuple[str, Tuple[str, ...]]:
    """Return the name and the features of the CPU in a /proc/cpuinfo, as (name, features that every core has).

    Under user-mode emulation the file tells of the host: of its own architecture's keys there are none, so that the
    features come out empty.
    """
    is_x86 = arch in ("x86_64", "i386", "i686")
    features_key, name_keys = (
        ("flags", ("model name",)) if is_x86 else ("Features", ("model name", "Model", "Hardware"))
    )
    names: Dict[str, str] = {}
    features: List[List[str]] = []
    for line in text.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == features_key:
            features.append(value.split())
        elif key in name_keys:
            names.setdefault(key, value)
    common = set(features[0]).intersection(*features) if features else set()
    if not is_x86 and not features:
        names.clear()
    name = next((names[key] for key in name_keys if key in names), "")
    return name, tuple(sorted(common))


def read_text(path: str) -> str:
    """Return a file of the system, "" where it is not there: not every system has /proc, /sys or os-release."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def read_cpu() -> Tuple[str, str, Tuple[str, ...]]:
    """Return the architecture, the CPU's name and its features, as Facts has them."""
    arch = normalize_arch(platform.machine())
    cpu, cpu_features = parse_cpuinfo(read_text("/proc/cpuinfo"), arch)
    if not cpu:
        cpu = read_text("/proc/device-tree/model").strip("\0\n ") or platform.processor() or "unknown"
    return arch, cpu, cpu_features
