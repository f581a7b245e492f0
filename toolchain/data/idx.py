"""The IDX format of MNIST and its relatives, gzipped.

Source: https://yann.lecun.org/exdb/mnist: two zero bytes, the element type (8 = uint8), the number of axes,
the length of each axis as a big-endian int32, then the elements.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import malformed
from toolchain.run.regular_file import read_regular

_UINT8 = 8
# The largest that is read, the pictures of Fashion-MNIST's training part, has 47 MB, and 26 MB packed.
_SIZE_MAX = 64 << 20
_GZIP = 31  # zlib's manual, inflateInit2: a gzip header, and any window


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Return the array of bytes in a gzipped IDX file; raises ToolchainError (exit 23) for a corrupt one."""
    header_size = 4 + 4 * axes
    unpacker = zlib.decompressobj(wbits=_GZIP)
    try:
        header = unpacker.decompress(read_regular(path, size_max=_SIZE_MAX), header_size)
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
        # One byte more than declared: a wrong length shows, and a bomb is not unpacked.
        content = unpacker.decompress(unpacker.unconsumed_tail, min(math.prod(shape), _SIZE_MAX) + 1)
    except (OSError, zlib.error) as error:
        raise malformed(
            "the file is truncated, damaged or not readable",
            where=str(path),
            expected="a whole gzip file",
            found=(error.strerror if isinstance(error, OSError) else None) or str(error),
            fix="remove the file and get it again, from where it came",
        ) from error
    if len(content) != math.prod(shape) or not unpacker.eof:
        raise malformed(
            "the file does not hold what its header declares",
            where=str(path),
            expected=f"{math.prod(shape)} bytes for shape {shape}, at most {_SIZE_MAX}, and the end of the gzip file",
            found=f"{len(content)} bytes{'' if unpacker.eof else ' and no end'}",
            fix="remove the file and get it again, from where it came",
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)
