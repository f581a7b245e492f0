"""What a board does at the most under ONNX Runtime (peaks.py): of products whose factors are both activations."""

from __future__ import annotations

import base64
from typing import Any, Callable

from .layer_times import Peaks
from .peaks import SIDE, find_peaks

# onnx.helper's bytes of one node over inputs a (m, k) and b (k, n): tests/agent/measure/test_onnxruntime_peaks.py makes them.
MATMUL_FLOAT = base64.b64decode(
    "CAgSADpbChEKAWEKAWISAWMiBk1hdE11bBIBZ1oVCgFhEhAKDggBEgoKAxIBbQoDEgFrWhUKAWISEAoOCAESCgoDEgFrCgMSAW5iFQoBYxIQ"
    "Cg4IARIKCgMSAW0KAxIBbkIECgAQDQ=="
)
MATMUL_INT8 = base64.b64decode(
    "CAgSADpiChgKAWEKAWISAWMiDU1hdE11bEludGVnZXISAWdaFQoBYRIQCg4IAhIKCgMSAW0KAxIBa1oVCgFiEhAKDggDEgoKAxIBawoDEgFu"
    "YhUKAWMSEAoOCAYSCgoDEgFtCgMSAW5CBAoAEA0="
)


def measure_peaks(open_bytes: Callable[[bytes], Any], threads: int, copy_bytes: int) -> Peaks:
    """Return the roofs; open_bytes(model) opens an ONNX model as payloads are opened."""
    import numpy as np

    generator = np.random.default_rng(0)
    left, right = (generator.standard_normal((SIDE, SIDE), dtype=np.float32) for _ in range(2))
    small = (left * 32).astype(np.int8)
    floats, integers = open_bytes(MATMUL_FLOAT), open_bytes(MATMUL_INT8)
    return find_peaks(
        lambda: floats.run(None, {"a": left, "b": right}),
        lambda: integers.run(None, {"a": small.view(np.uint8), "b": small}),
        threads,
        copy_bytes,
    )
