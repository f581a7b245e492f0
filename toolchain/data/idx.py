"""The IDX format of MNIST and its relatives, gzipped.

Source: https://yann.lecun.org/exdb/mnist: two zero bytes, the element type (8 = uint8), the number of axes,
the length of each axis as a big-endian int32, then the elements.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import malformed

_UINT8 = 8
_DEFLATE_RATIO_MAX = 1032  # zlib's "Technical Details": no compressed byte stands for more


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Return the array of bytes in a gzipped IDX file; raises ToolchainError (exit 23) for a corrupt one."""
    header_size = 4 + 4 * axes
    try:
        with gzip.open(path) as file:
            header = file.read(header_size)
            expected = bytes([0, 0, _UINT8, axes])
            if len(header) < header_size or header[:4] != expected:
                raise malformed(
                    "not an IDX file of this kind",
                    where=str(path),
                    expected=f"a header that starts with {expected.hex()}",
                    found=header[:4].hex() or "an empty file",
                    fix="download the file again, or give the one of images for images and of labels for labels",
                )
            shape = struct.unpack(f">{axes}I", header[4:])
            size_max = _DEFLATE_RATIO_MAX * path.stat().st_size
            # One byte more than declared: a wrong length shows, and a bomb is not unpacked.
            content = file.read(min(math.prod(shape), size_max) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise malformed(
            "the file is truncated, damaged or not readable",
            where=str(path),
            expected="a whole gzip file",
            found=str(error),
            fix="remove the file and get it again, from where it came",
        ) from error
    if len(content) != math.prod(shape):
        raise malformed(
            "the file does not hold what its header declares",
            where=str(path),
            expected=f"{math.prod(shape)} bytes for shape {shape}",
            found=f"{len(content)} bytes or more" if len(content) > math.prod(shape) else f"{len(content)} bytes",
            fix="remove the file and get it again, from where it came",
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
