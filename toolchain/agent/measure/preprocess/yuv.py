"""YUV frames as cameras give them, made RGB in whole numbers: the same bits in every language.

    value = (brightness * (Y - floor) + cb * (U - 128) + cr * (V - 128) + 2^15) >> 16, cut to 0 ... 255

The coefficients are those of ITU-R BT.601-7 and BT.709-6 in units of 2^-16, rounded; limited range has Y from 16 to 235 and U, V
from 16 to 240, full range (JFIF) has all from 0 to 255. Every pixel takes the colour of the block that it lies in: nothing is
smoothed between blocks.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ExitCode, ToolchainError

_BITS = 16
_ROUNDING = 1 << (_BITS - 1)

# By matrix and range: floor, brightness; what U adds to blue and to green, what V adds to red and to green.
# tests/agent/measure/preprocess/test_yuv.py works them out of Kr and Kb.
COEFFICIENTS: Dict[Tuple[str, str], Tuple[int, int, int, int, int, int]] = {
    ("BT.601", "limited"): (16, 76309, 132201, -25675, 104597, -53279),
    ("BT.601", "full"): (0, 65536, 116130, -22553, 91881, -46802),
    ("BT.709", "limited"): (16, 76309, 138438, -13975, 117489, -34925),
    ("BT.709", "full"): (0, 65536, 121609, -12276, 103206, -30679),
}


def decode_yuv(frame: NDArray[Any], colour: str) -> NDArray[np.uint8]:
    """Return a frame as RGB (h, w, 3).

    NV12, NV21 and I420 are (3h / 2, w, 1), or without the last axis, as OpenCV and V4L2 have them: the brightness, and below it
    the colours of blocks of 2 x 2. YUYV is (h, w, 2). Raises ToolchainError (exit 2) for any other frame.
    """
    packing, matrix, span = colour.split("/")
    planar = packing != "YUYV"
    shaped = frame[..., np.newaxis] if planar and frame.ndim == 2 else frame
    if str(frame.dtype) != "uint8" or shaped.ndim != 3 or not _is_whole(shaped.shape, planar=planar):
        what, fix = (
            f"the frame is no {packing}",
            "give the sensor's frame as it is: a buffer without padding, of even sides",
        )
        expected = "uint8 (3h / 2, w, 1), h and w even" if planar else "uint8 (h, w, 2), w even"
        found = f"{frame.dtype} of shape {frame.shape}"
        raise ToolchainError(ExitCode.USAGE, what, where="frame", expected=expected, found=found, fix=fix)
    brightness, first, second = _split_planar(shaped, packing) if planar else _split_packed(shaped)
    floor, scale, blue, green_of_u, red, green_of_v = COEFFICIENTS[matrix, span]
    light = (brightness.astype(np.int32) - floor) * scale + _ROUNDING
    u, v = first.astype(np.int32) - 128, second.astype(np.int32) - 128
    channels = (light + red * v, light + green_of_u * u + green_of_v * v, light + blue * u)
    stacked: NDArray[np.uint8] = np.stack(
        [np.right_shift(value, _BITS).clip(0, 255) for value in channels], axis=2
    ).astype(np.uint8)
    return stacked


def list_frame_shape(colour: str, height: int, width: int) -> Tuple[int, int, int]:
    """Return the shape of a frame of a picture of even sides."""
    return (height, width, 2) if colour.startswith("YUYV") else (height * 3 // 2, width, 1)


def _is_whole(shape: Tuple[int, ...], *, planar: bool) -> bool:
    rows, width, numbers = shape
    if min(shape) < 1 or width % 2:
        return False
    return numbers == 1 and rows % 3 == 0 if planar else numbers == 2


def _split_planar(frame: NDArray[Any], packing: str) -> Tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return Y, U and V (h, w) of brightness with the colours of blocks below it."""
    rows, width, _ = frame.shape
    height = rows * 2 // 3
    colours = frame[height:].reshape(-1)
    if packing == "I420":
        planes = colours.reshape(2, height // 2, width // 2)
    else:
        planes = colours.reshape(height // 2, width // 2, 2).transpose(2, 0, 1)
        planes = planes[::-1] if packing == "NV21" else planes
    wide = planes.repeat(2, axis=1).repeat(2, axis=2)
    return frame[:height, :, 0], wide[0], wide[1]


def _split_packed(frame: NDArray[Any]) -> Tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return Y, U and V (h, w) of Y U Y V Y U ..."""
    return frame[..., 0], frame[:, ::2, 1].repeat(2, axis=1), frame[:, 1::2, 1].repeat(2, axis=1)
