"""Lowering for TensorRT and TensorRT for RTX: strongly typed graphs, float16 with explicit casts, int8 with Q/DQ."""
