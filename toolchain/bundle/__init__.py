"""Writes the bundle: everything that a board needs to run and to prove a payload, in one folder."""

from toolchain.bundle.write import BundleInputs, GoldenBatch, Lowered, write_bundle

__all__ = ["BundleInputs", "GoldenBatch", "Lowered", "write_bundle"]
