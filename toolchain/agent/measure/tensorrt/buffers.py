"""Memory for the inputs and outputs of an engine: pinned on the host, and on the GPU."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .cuda import Cuda, view_memory


@dataclass(frozen=True)
class _Buffer:
    device: int
    pinned: int
    view: NDArray[np.uint8]


class Buffers:
    """One buffer a tensor, as large as its largest shape, given back when `stack` ends."""

    def __init__(self, cuda: Cuda, sizes_bytes: Mapping[str, int], stack: ExitStack) -> None:
        self._cuda = cuda
        self._buffers: Dict[str, _Buffer] = {}
        for name, size_bytes in sizes_bytes.items():
            room = max(1, size_bytes)  # an empty tensor has an address all the same
            device = cuda.allocate(room)
            stack.callback(cuda.free, device)
            pinned = cuda.allocate_pinned(room)
            stack.callback(cuda.free_pinned, pinned)
            self._buffers[name] = _Buffer(device=device, pinned=pinned, view=view_memory(pinned, room))

    def find_address(self, name: str) -> int:
        """Return where the tensor lies on the GPU."""
        return self._buffers[name].device

    def write(self, name: str, array: NDArray[np.generic]) -> None:
        """Put an array into pinned memory."""
        target = self._buffers[name].view[: array.nbytes].view(array.dtype).reshape(array.shape)
        np.copyto(target, array)

    def read(self, name: str, dtype: str, shape: Sequence[int]) -> NDArray[np.generic]:
        """Return a copy of what is in pinned memory."""
        size_bytes = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
        return np.array(self._buffers[name].view[:size_bytes].view(dtype).reshape(tuple(shape)))

    def copy_to_device(self, name: str, size_bytes: int, stream: Any) -> None:
        buffer = self._buffers[name]
        self._cuda.copy_to_device(buffer.device, buffer.pinned, size_bytes, stream)

    def copy_to_host(self, name: str, size_bytes: int, stream: Any) -> None:
        buffer = self._buffers[name]
        self._cuda.copy_to_host(buffer.pinned, buffer.device, size_bytes, stream)
