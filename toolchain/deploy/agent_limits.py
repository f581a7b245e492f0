"""What the agent may take while it measures a bundle on this machine, by the bundle's honest size and the machine's."""

from __future__ import annotations

import os
from dataclasses import dataclass

from toolchain.agent.build_spec import BUILD_LIMIT_S_MAX
from toolchain.agent.manifest import Manifest
from toolchain.agent.measure.traits import find_traits, list_runtimes
from toolchain.run.confine.limits import read_machine_bytes

_MB = 2**20
# The agent with numpy and ONNX Runtime has 90 MB, with OpenVINO 200 MB; a small model takes some MB of the rest.
_MEMORY_BASE_BYTES = 768 * _MB
# All payloads are open at a time, each as bytes, as a graph and as packed weights.
_MEMORY_PER_PAYLOAD_BYTE = 12
# Of a whole batch: resnet50 has 220 bytes of tensors for a byte of picture, unfused.
_MEMORY_PER_BATCH_BYTE = 1000
# What is left to others where the machine is small.
_MACHINE_SHARE = 0.75
# CPU time of a thread between two signs of progress: a payload opened, one batch run, two seconds of warming up for each of
# three payloads, in each way that the target opens them.
_STEP_BASE_S = 10.0
_STEP_PER_PAYLOAD_MB_S = 5.0
_STEP_PER_BATCH_MB_S = 60.0
# Wall time for it, on a machine that is busy with other things.
_IDLE_FACTOR = 5
# agent/measure/golden.py: so many samples are one run, and levels have a byte for each value of four.
_BATCH_SAMPLES = 64
_LEVEL_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class AgentLimits:
    """Memory that is really taken, and the CPU and wall time between two signs of progress."""

    memory_bytes: int
    step_cpu_s: float
    step_wall_s: float


def find_limits(manifest: Manifest) -> AgentLimits:
    """Return what measuring a bundle may take; a runtime that builds engines takes what it needs of the machine, and minutes."""
    machine_bytes = int(_MACHINE_SHARE * read_machine_bytes())
    known = [runtime for runtime in manifest.runtimes if runtime in list_runtimes()]
    if any(find_traits(runtime).engine is not None for runtime in known):
        step_s = _STEP_BASE_S + BUILD_LIMIT_S_MAX
        cpu_s = step_s * (os.cpu_count() or 1)
        return AgentLimits(memory_bytes=machine_bytes, step_cpu_s=cpu_s, step_wall_s=_IDLE_FACTOR * step_s)
    sizes = {entry.path: entry.size_bytes for entry in manifest.files}
    inputs = {*manifest.golden.inputs.values()}
    # Each runtime opens the references too, on each number of threads.
    payload_bytes = len(manifest.ways) * sum(
        size for path, size in sizes.items() if not path.startswith(("agent/", "golden/"))
    )
    sample_bytes = sum(sizes[path] for path in inputs) / manifest.golden.samples * _LEVEL_BYTES
    batch_bytes = sample_bytes * min(_BATCH_SAMPLES, manifest.golden.samples)
    asked = _MEMORY_BASE_BYTES + _MEMORY_PER_PAYLOAD_BYTE * payload_bytes + _MEMORY_PER_BATCH_BYTE * batch_bytes
    threads = sum(min(threads, os.cpu_count() or 1) for _, threads, _ in manifest.ways)
    step_s = (
        threads * _STEP_BASE_S + (_STEP_PER_PAYLOAD_MB_S * payload_bytes + _STEP_PER_BATCH_MB_S * batch_bytes) / _MB
    )
    return AgentLimits(
        memory_bytes=min(int(asked), machine_bytes), step_cpu_s=step_s, step_wall_s=_IDLE_FACTOR * step_s
    )
