"""Keeps what TensorRT says: its Python calls return None or False, and the reason is in the log alone.

TensorRT calls a logger from threads of its own. That cannot lock up in parse, build_serialized_network and
deserialize_cuda_engine, in which NVIDIA's bindings give the interpreter free (python/src/infer/pyCore.cpp).
"""

from __future__ import annotations

from typing import Any, List

# Of a long build, the last errors are the ones that matter.
_KEPT = 20


def create_logger(trt: Any) -> Any:
    """Return a logger with `errors`, the texts of the last errors, oldest first; nothing is printed."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # trt is Any: the module may be missing on the host
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: List[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.errors.append(msg)
                del self.errors[:-_KEPT]

    return Logger()


def read_last_error(logger: Any) -> str:
    """Return the last error in one line."""
    lines = logger.errors[-1].strip().splitlines() if logger.errors else []
    return lines[0] if lines else "TensorRT gave no reason"
