"""What is known of a board that nobody asked: `toolchain lower` and `bisect` work without one."""

from __future__ import annotations

from dataclasses import replace

from toolchain.agent.measure.cpu import normalize_arch
from toolchain.agent.measure.facts import Facts, read_facts
from toolchain.project.target import Target


def read_stand_in(target: Target) -> Facts:
    """Return this machine's facts, where it may be such a board; else what the target says of its CPU.

    The runtime is ONNX Runtime here, since the board's own need not be installed.
    """
    own = read_facts("onnxruntime")
    arch = target.compatible.arch
    if arch is None or normalize_arch(arch) == own.arch:
        return own
    return replace(
        own, arch=normalize_arch(arch), cpu="unknown", cpu_features=tuple(sorted(target.compatible.cpu_features))
    )
