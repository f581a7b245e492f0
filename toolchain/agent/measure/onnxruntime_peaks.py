"""What a board does at the most under ONNX Runtime: the roofs that layers are held against (Williams et al., CACM 2009).

A roof is a maximum: the quickest of many runs is taken, where a latency is never the best of anything. numpy is imported where
it is used: a board that lacks it must still say what it lacks.
"""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, List

from .layer_times import Peaks

# onnx.helper's bytes of one node over inputs a (m, k) and b (k, n): tests/agent/measure/test_onnxruntime_peaks.py makes them.
MATMUL_FLOAT = base64.b64decode(
    "CAgSADpbChEKAWEKAWISAWMiBk1hdE11bBIBZ1oVCgFhEhAKDggBEgoKAxIBbQoDEgFrWhUKAWISEAoOCAESCgoDEgFrCgMSAW5iFQoBYxIQ"
    "Cg4IARIKCgMSAW0KAxIBbkIECgAQDQ=="
)
MATMUL_INT8 = base64.b64decode(
    "CAgSADpiChgKAWEKAWISAWMiDU1hdE11bEludGVnZXISAWdaFQoBYRIQCg4IAhIKCgMSAW0KAxIBa1oVCgFiEhAKDggDEgoKAxIBawoDEgFu"
    "YhUKAWMSEAoOCAYSCgoDEgFtCgMSAW5CBAoAEA0="
)
# 57 million MACs: a millisecond or more on every CPU of a board, so that the call itself costs nothing beside it.
_SIDE = 384
_TRIES_MIN, _LIMIT_S = 3, 0.08
# Below, a call costs as much as the copy; above, no cache of a board holds it anyway.
_COPY_BYTES_MIN, _COPY_BYTES_MAX = 1 << 18, 1 << 26


def measure_peaks(open_bytes: Callable[[bytes], Any], threads: int, copy_bytes: int) -> Peaks:
    """Return the roofs; open_bytes(model) opens an ONNX model as payloads are opened."""
    import numpy as np

    generator = np.random.default_rng(0)
    left, right = (generator.standard_normal((_SIDE, _SIDE), dtype=np.float32) for _ in range(2))
    floats = open_bytes(MATMUL_FLOAT)
    float_s = _find_quickest_s(lambda: floats.run(None, {"a": left, "b": right}))
    small = (left * 32).astype(np.int8)
    integers = open_bytes(MATMUL_INT8)
    int8_s = _find_quickest_s(lambda: integers.run(None, {"a": small.view(np.uint8), "b": small}))
    moved = min(max(copy_bytes, _COPY_BYTES_MIN), _COPY_BYTES_MAX)
    return Peaks(
        float_gmacs=_SIDE**3 / float_s / 1e9,
        int8_gmacs=_SIDE**3 / int8_s / 1e9,
        memory_gb_s=moved / _copy_s(moved // 2, threads) / 1e9,
        copy_bytes=moved,
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
