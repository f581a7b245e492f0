"""Optimized ONNX in, the payload of one runtime and precision out."""

from toolchain.lower.lower import LowerRequest, lower_model

__all__ = ["LowerRequest", "lower_model"]
