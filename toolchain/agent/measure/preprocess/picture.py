"""A frame as a payload takes it."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ExitCode, ToolchainError
from ...sensor import PictureSpec, count_channels
from .place import Placement, place_frame
from .resize import resize_bilinear
from .yuv import decode_yuv


def prepare_picture(frame: NDArray[Any], spec: PictureSpec) -> Tuple[NDArray[Any], Placement]:
    """Return the input (1, ...) that a frame (h, w, c), or a YUV one (yuv.py), becomes, and where the picture lies in it.

    Raises ToolchainError (exit 2): a frame of another type, of another number of channels, or of a size that is not taken.
    """
    if spec.is_yuv:
        frame = decode_yuv(frame, spec.colour)
    channels = count_channels(spec.colour)
    if frame.ndim != 3 or frame.shape[2] != channels or str(frame.dtype) != spec.type:
        raise ToolchainError(
            ExitCode.USAGE,
            "the frame is not what the sensor gives",
            where="frame",
            expected=f"{spec.type} of shape (height, width, {channels}): {spec.colour}",
            found=f"{frame.dtype} of shape {frame.shape}",
            fix="give the sensor's frame as it is; what the manifest says of the input belongs to this release",
        )
    at = place_frame(
        frame.shape[1],
        frame.shape[0],
        width=spec.width,
        height=spec.height,
        resize=spec.resize,
        crop_share=spec.crop_share,
    )
    return arrange_pixels(lay_frame(frame, at, spec)[None], spec.layout), at


def lay_frame(frame: NDArray[Any], at: Placement, spec: PictureSpec) -> NDArray[Any]:
    """Return the pixels (height, width, c) of the input, with a frame at its place and the fill around it."""
    if spec.resize == "none":
        return frame
    if at.left <= 0 and at.top <= 0 and at.width >= spec.width and at.height >= spec.height:
        return resize_bilinear(
            frame,
            height=at.height,
            width=at.width,
            rows_seen=slice(-at.top, spec.height - at.top),
            columns_seen=slice(-at.left, spec.width - at.left),
        )
    resized = resize_bilinear(frame, height=at.height, width=at.width)
    laid = np.full((spec.height, spec.width, frame.shape[2]), spec.fill, dtype=frame.dtype)
    laid[at.top : at.top + at.height, at.left : at.left + at.width] = resized
    return laid


def arrange_pixels(pixels: NDArray[Any], layout: str) -> NDArray[Any]:
    """Return pixels (n, height, width, c) in a layout."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2) if layout == "NCHW" else pixels)
