"""Optimized ONNX in, the payload of one runtime and precision out."""
