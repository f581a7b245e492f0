"""The roofs that layers are held against: what a board does at the most, of products and copies (Williams et al., CACM 2009).

A roof is a maximum: the quickest of many runs is taken, where a latency is never the best of anything. numpy is imported where
it is used: a board that lacks it must still say what it lacks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Callable, List, Optional

from .layer_times import Peaks

# 57 million MACs: 0.1 ms or more on a core of 500 GMAC/s, beside which a call of some µs costs little.
SIDE = 384
_TRIES_MIN, _LIMIT_S = 3, 0.08
# Below, a call costs as much as the copy; above, no cache of a board holds it anyway.
_COPY_BYTES_MIN, _COPY_BYTES_MAX = 1 << 18, 1 << 26


def find_peaks(
    run_float: Callable[[], object],
    run_int8: Callable[[], object],
    threads: int,
    copy_bytes: int,
    *,
    run_bf16: Optional[Callable[[], object]] = None,
) -> Peaks:
    """Return the roofs, of what runs a product of two matrices of SIDE by SIDE in float32, int8 and bf16."""
    moved = min(max(copy_bytes, _COPY_BYTES_MIN), _COPY_BYTES_MAX)
    return Peaks(
        float_gmacs=SIDE**3 / _find_quickest_s(run_float) / 1e9,
        int8_gmacs=SIDE**3 / _find_quickest_s(run_int8) / 1e9,
        memory_gb_s=moved / _copy_s(moved // 2, threads) / 1e9,
        copy_bytes=moved,
        bf16_gmacs=None if run_bf16 is None else SIDE**3 / _find_quickest_s(run_bf16) / 1e9,
    )


def _copy_s(size_bytes: int, threads: int) -> float:
    """Return what it takes to copy so many bytes, which reads and writes each once."""
    import numpy as np

    source = np.ones(size_bytes, np.uint8)
    copy = np.empty_like(source)
    if threads == 1:
        return _find_quickest_s(lambda: np.copyto(copy, source))
    parts = list(zip(np.array_split(copy, threads), np.array_split(source, threads)))  # noqa: B905 - Python 3.8 has no strict
    with ThreadPoolExecutor(threads) as pool:
        return _find_quickest_s(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))


def _find_quickest_s(run: Callable[[], object]) -> float:
    from .latency import Stopwatch

    whole = Stopwatch()
    times_s: List[float] = []
    run()
    while len(times_s) < _TRIES_MIN or whole.read_s() < _LIMIT_S:
        once = Stopwatch()
        run()
        times_s.append(once.read_s())
    return max(min(times_s), 1e-9)
