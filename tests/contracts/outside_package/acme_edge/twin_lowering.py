"""What is lowered for the runtime that is ONNX Runtime under another name."""

from toolchain.lower.runtimes import onnxruntime

LOWERINGS = onnxruntime.LOWERINGS
profile_layers = onnxruntime.profile_layers
