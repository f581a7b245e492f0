"""A runtime's agent side: ONNX Runtime under another name."""

from .onnxruntime import (
    TRAITS,
    load,
    open_pinned,
    open_session,
    read_accelerator,
    read_details,
    read_placement,
    read_version,
)

__all__ = [
    "TRAITS",
    "load",
    "open_pinned",
    "open_session",
    "read_accelerator",
    "read_details",
    "read_placement",
    "read_version",
]
