"""The machine's own speed: two fixed kernels timed between the blocks, and the best that they ever reached here.

A machine has more than one speed: the other thread of a core works or not, a clock is boosted or capped. A payload's time
does not tell which one it was measured at; the time of work that never changes does.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from ..durable import write_file
from ..regular import read_regular
from .episodes import EPISODES

# Times in ns of the float and of the integer kernel.
ProbeTimes = Tuple[int, int]

# The name of a memory file, in the root of a cache or of a board.
SPEED_MEMORY = "machine_speed.json"
# A machine has some 150 bytes.
_MEMORY_BYTES_MAX = 1 << 20

# Full speed is within this of the best. On the machine of docs/latency.md the idle kernels scatter by 4 % (10th to 90th
# percentile, after a run of a payload), and its second speed is 1.3 to 1.6 times slower.
FULL_SPEED_MAX = 1.15

# 64 x 64: OpenBLAS stays in one thread up to 262,144 products (GEMM_MULTITHREAD_THRESHOLD 4), and it all lies in the L1.
_SIDE = 64
# About 0.1 ms each on the machine of docs/latency.md, long against the timer. The quicker of two is taken: an interrupt
# is no speed.
_FLOAT_REPEATS = 16
_INT_REPEATS = 120
_TRIES = 2


def make_probe(clock: Callable[[], int]) -> Callable[[], ProbeTimes]:
    """Return what times the kernels: a float32 matrix product and an int8 product by elements, about 0.5 ms in all."""
    import numpy as np  # here, as the commands that only look at a board must not wait for it

    left = np.full((_SIDE, _SIDE), 1.0 / _SIDE, dtype=np.float32)
    product = np.empty_like(left)
    small = (np.arange(_SIDE * _SIDE) & 7).astype(np.int8)
    small_product = np.empty_like(small)

    def time_kernel(kernel: Callable[..., object], factor: object, out: object, repeats: int) -> int:
        kernel(factor, factor, out=out)  # back into the caches, which the payload had
        times_ns = []
        for _ in range(_TRIES):
            start_ns = clock()
            for _ in range(repeats):
                kernel(factor, factor, out=out)
            times_ns.append(clock() - start_ns)
        return min(times_ns)

    def probe() -> ProbeTimes:
        return (
            time_kernel(np.matmul, left, product, _FLOAT_REPEATS),
            time_kernel(np.multiply, small, small_product, _INT_REPEATS),
        )

    return probe


def choose_best(probes_ns: Sequence[ProbeTimes], remembered: Optional[ProbeTimes]) -> Optional[ProbeTimes]:
    """Return the best times known: of what is remembered and of this run, where 11 probes (or half of them) reached it.

    None where there is no time at all, or one is not positive: no clock.
    """
    known = [] if remembered is None else [remembered]
    if probes_ns:
        floats, ints = (sorted(times[kernel] for times in probes_ns) for kernel in range(2))
        reached = min(EPISODES, (len(probes_ns) + 1) // 2) - 1
        known.append((floats[reached], ints[reached]))
    if not known:
        return None
    best_ns = min(times[0] for times in known), min(times[1] for times in known)
    return best_ns if min(best_ns) > 0 else None


def find_slowdowns(probes_ns: Sequence[ProbeTimes], best_ns: Optional[ProbeTimes]) -> Optional[List[float]]:
    """Return for each round by how many times the machine was slower than its best; None where nothing is known.

    There is a probe before each round and one after the last; a round is as slow as the slower of its two. Of the
    kernels the slower counts too: a neighbour may want the same units as one of them alone.
    """
    if best_ns is None or len(probes_ns) < 2:
        return None
    slowdowns = [max(float_ns / best_ns[0], int_ns / best_ns[1]) for float_ns, int_ns in probes_ns]
    return [max(slowdowns[index], slowdowns[index + 1]) for index in range(len(slowdowns) - 1)]


def find_speed_memory(bundle_dir: Path) -> Optional[Path]:
    """Return the memory file of the board whose release this is; None for a bundle that lies elsewhere."""
    folder = bundle_dir.resolve().parent
    return folder.parent / SPEED_MEMORY if folder.name == "releases" else None


def recall_best(path: Optional[Path]) -> Optional[ProbeTimes]:
    """Return the best times of this machine in a memory file; None where it has none of it."""
    known = _read_memory(path).get(_name_machine())
    if not isinstance(known, list) or len(known) != 2:
        return None
    if not all(type(time_ns) is int and time_ns > 0 for time_ns in known):
        return None
    return known[0], known[1]


def remember_best(path: Optional[Path], best_ns: Optional[ProbeTimes]) -> None:
    """Write the best times into a memory file, beside those of other machines; a disk that refuses is no error."""
    if path is None or best_ns is None:
        return
    document = {**_read_memory(path), _name_machine(): list(best_ns)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(document, indent=1, sort_keys=True).encode("utf-8"))
    except OSError:  # read-only or full: the next run knows no more than this one did
        return


def _read_memory(path: Optional[Path]) -> Dict[str, object]:
    try:
        document = json.loads(read_regular(path, _MEMORY_BYTES_MAX).decode("utf-8")) if path is not None else {}
    except (OSError, ValueError, RecursionError):  # none yet, or damaged: nothing is remembered
        return {}
    return document if isinstance(document, dict) else {}


def _name_machine() -> str:
    """Return what the times belong to: the CPU, the clock it may reach (a power mode lowers it), and the kernels."""
    import numpy as np

    clock_khz = "unknown clock"
    cpu = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            if key in ("model name", "Model", "CPU part"):
                cpu = value
                break
        clock_khz = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq").read_text(encoding="utf-8").strip()
    except OSError:  # not Linux, or a virtual machine that shows no clock
        pass
    return f"{platform.node()}, {cpu}, {clock_khz}, numpy {np.__version__}"
