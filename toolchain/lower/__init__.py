"""Optimized ONNX in, the payload of one runtime and precision out."""

from toolchain.lower.lower import lower_model
from toolchain.lower.request import LowerRequest

__all__ = ["LowerRequest", "lower_model"]
