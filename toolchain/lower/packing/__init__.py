"""Packing: weights of few values, or with many zeros, are small in the file and whole when the session is open."""

from toolchain.lower.packing.pack import PackedWeight, pack_weights

__all__ = ["PackedWeight", "pack_weights"]
