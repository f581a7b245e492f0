"""What a model that nobody vouches for may take while it is opened and run, by its honest size and the machine's."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

# A small model through lowering and calibration takes 245 MB beyond what the command itself has, half of it the compiler
# of the histogram's loop.
_MEMORY_BASE_BYTES = 640 * 2**20
# A model is held as bytes, as messages before and after a pass, and in a session or two. Parsing, checker and shape
# inference alone peak at 6.2 bytes a byte of file.
_MEMORY_PER_MODEL_BYTE = 12
# Calibration keeps all tensors of a run: resnet50 has 220 bytes of them for a byte of picture, unfused. Lowering runs float
# and int8 side by side and keeps what the float model returned: PP-OCR's recognizer, whose 6,625 scores of each step are 6
# bytes for a byte of picture, did not get through with 1,000.
_MEMORY_PER_SAMPLE_BYTE = 2500
# It runs as many samples at a time as there are CPUs.
_RUNS_AT_A_TIME_MAX = 16
# What is left to others where the machine is small.
_MACHINE_SHARE = 0.75

# CPU time of one step: a parse, an opened session, a run of one sample, a pass. Of a small model each takes milliseconds,
# but for what a library sets up when it is first used.
_STEP_BASE_S = 4.0
# onnxsim takes 5 s for vit_b_16, which has 330 MB: a twentieth of this.
_STEP_PER_MODEL_MB_S = 0.3
# A picture of 640 x 640 has 4.9 MB; resnet50 takes 1 s for it on one core.
_STEP_PER_SAMPLE_MB_S = 3.0

# Nothing is refused by this that goes on step by step: it bounds a run that nobody watches.
_TOTAL_S = 6 * 3600.0

_MB = 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one model: what was asked for, else what follows from its size on the disk and its samples'.

    What a file declares counts for nothing: a few hundred bytes can declare gigabytes. A sample is the user's own.
    """

    model_bytes: int
    """On the disk, its external data included once that is known."""
    sample_bytes: int = 0
    """Of the inputs of one run."""
    memory_mb: int | None = None
    step_s: float | None = None
    total_s: float | None = None

    def grow(self, *, model_bytes: int = 0, sample_bytes: int = 0) -> Limits:
        """Return the limits of a model that has so many bytes more, and samples of at least so many."""
        return replace(
            self,
            model_bytes=self.model_bytes + model_bytes,
            sample_bytes=max(self.sample_bytes, sample_bytes),
        )

    @property
    def memory_limit_bytes(self) -> int:
        """Beyond what the process has when it starts."""
        if self.memory_mb is not None:
            return self.memory_mb * _MB
        runs = min(os.cpu_count() or 1, _RUNS_AT_A_TIME_MAX)
        asked = (
            _MEMORY_BASE_BYTES
            + _MEMORY_PER_MODEL_BYTE * self.model_bytes
            + _MEMORY_PER_SAMPLE_BYTE * runs * self.sample_bytes
        )
        return min(asked, int(_MACHINE_SHARE * read_machine_bytes()))

    @property
    def step_limit_s(self) -> float:
        """Of wall time, and of CPU time as well: a machine that is busy with other things stops nothing."""
        if self.step_s is not None:
            return self.step_s
        sizes = _STEP_PER_MODEL_MB_S * self.model_bytes + _STEP_PER_SAMPLE_MB_S * self.sample_bytes
        return _STEP_BASE_S + sizes / _MB

    @property
    def total_limit_s(self) -> float:
        """Of wall time, for everything."""
        return _TOTAL_S if self.total_s is None else self.total_s


def measure_files(paths: Iterable[Path]) -> int:
    """Return the bytes that files really have on the disk: of a sparse one, what was written. Those that are none have none."""
    total = 0
    for path in paths:
        with suppress(OSError, ValueError):
            total += measure_status(path.stat())
    return total


def measure_status(status: os.stat_result) -> int:
    """Return the bytes that a file really has on the disk, by its status."""
    # POSIX leaves the unit of st_blocks open; on Linux it is 512 bytes (stat(2)).
    return min(status.st_size, status.st_blocks * 512) if stat.S_ISREG(status.st_mode) else 0


def read_machine_bytes() -> int:
    """Return the memory of this machine, or of the container that we are in."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # "max", or no such control group
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return machine
