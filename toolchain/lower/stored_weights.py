"""The large weights of a model in one file, so that a trial of the model need not be written with them again.

Of MiniLM's 90 MB, what a trial changes is one layer or some; the copies for serializing and writing the rest took half of
the time of ranking its layers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from toolchain.graph.set_aside import ASIDE_MIN_BYTES, copy_without_weights

_FILE = "weights.bin"
# What ONNX Runtime maps into memory must begin at a page.
_PAGE_BYTES = 4096


class StoredWeights:
    """Weights of a model in a folder, for models with the same weights that are written beside them."""

    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        """Write the large weights of the model."""
        self._folder = folder
        self._places: dict[str, tuple[int, int]] = {}
        with (folder / _FILE).open("wb") as file:
            for tensor in model.graph.initializer:
                if len(tensor.raw_data) >= ASIDE_MIN_BYTES:
                    file.seek(-file.tell() % _PAGE_BYTES, 1)
                    self._places[tensor.name] = file.tell(), len(tensor.raw_data)
                    file.write(tensor.raw_data)

    def write(self, model: onnx.ModelProto, name: str) -> Path:
        """Write a model into the folder under a name, without the weights that are there already; return its path."""
        lean = copy_without_weights(model)
        for tensor in model.graph.initializer:
            lean.graph.initializer.append(self._refer(tensor) if self._has(tensor) else tensor)
        path = self._folder / name
        path.write_bytes(lean.SerializeToString())
        return path

    def _has(self, tensor: onnx.TensorProto) -> bool:
        """Return whether a tensor has the very bytes that are stored under its name."""
        if tensor.name not in self._places:
            return False
        offset, length = self._places[tensor.name]
        values = np.frombuffer(tensor.raw_data, np.uint8)
        return len(values) == length and np.array_equal(
            values, np.memmap(self._folder / _FILE, np.uint8, "r", offset, (length,))
        )

    def _refer(self, tensor: onnx.TensorProto) -> onnx.TensorProto:
        offset, length = self._places[tensor.name]
        reference = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        reference.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", _FILE), ("offset", str(offset)), ("length", str(length))):
            reference.external_data.add(key=key, value=value)
        return reference
