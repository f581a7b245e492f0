"""Whether YUV frames are what [input] says, and not of another packing, matrix or range: asked of samples that the user prepared.

Other code rounds otherwise than ours, and so two levels of a byte are allowed; colours that are mixed up differ by tens of them,
unless the frames have hardly any: then both fit, nothing is proven, and that is refused too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.measure.preprocess.picture import prepare_picture
from toolchain.agent.sensor import YUV_COLOURS, InputSpec, PictureSpec
from toolchain.data.process_input import process_input
from toolchain.errors import ToolchainError, usage

# One of the conversion and one of a resize: OpenCV's cvtColor differs from ours by one.
_LEVELS = 2
_ROUNDING = 1e-5


def check_yuv(frames: NDArray[Any], prepared: NDArray[Any], spec: InputSpec, *, where: str) -> None:
    """Refuse (exit 2) frames (n, ...) that are not what was prepared of them, or that would be with colours mixed up as well."""
    picture = spec.picture
    if picture is None:
        raise TypeError("a picture is described")
    fitting = [colour for colour in YUV_COLOURS if _fits(frames, prepared, spec, replace(picture, colour=colour))]
    if fitting == [picture.colour]:
        return
    if picture.colour in fitting:
        others = ", ".join(colour for colour in fitting if colour != picture.colour)
        raise usage(
            "the samples do not show which YUV the sensor gives",
            where=where,
            expected=f"frames that are {picture.colour} alone",
            found=f"frames that would be {others} as well",
            fix="record frames with strong colours, red, green and blue, and prepare them by your own code",
        )
    raise usage(
        "[input] makes something else of the sensor's frames than they were prepared as for the model",
        where=where,
        expected="the same values, to two levels of a byte",
        found=_describe(frames, prepared, spec),
        fix=_suggest(fitting),
    )


def _suggest(fitting: list[str]) -> str:
    if not fitting:
        return "correct [input], or what prepares the samples: what the model was trained with holds"
    packing, matrix, span = fitting[0].split("/")
    return f'they agree with colour = "{packing}", matrix = "{matrix}", range = "{span}": write that into [input] if the sensor says so'


def _fits(frames: NDArray[Any], prepared: NDArray[Any], spec: InputSpec, picture: PictureSpec) -> bool:
    found = _process(frames, spec, picture)
    if found is None or found.shape != prepared.shape:
        return False
    level = np.abs(spec.in_graph.scale / np.array(spec.in_graph.std, dtype=np.float64))
    limit = level * _LEVELS + _ROUNDING * max(1.0, float(np.abs(prepared).max(initial=0.0)))
    axis = 1 if spec.in_graph.model_layout == "NCHW" else 3
    differences = np.moveaxis(np.abs(found - prepared), axis, -1)
    return bool((differences <= limit).all())


def _process(frames: NDArray[Any], spec: InputSpec, picture: PictureSpec) -> NDArray[np.float32] | None:
    """Return what becomes of frames under another picture; None where they cannot be such frames."""
    try:
        tensors = np.concatenate([prepare_picture(frame, picture)[0] for frame in frames])
    except ToolchainError:
        return None
    return process_input(tensors, replace(spec, picture=picture))


def _describe(frames: NDArray[Any], prepared: NDArray[Any], spec: InputSpec) -> str:
    found = None if spec.picture is None else _process(frames, spec, spec.picture)
    if found is None:
        return f"frames of shape {frames.shape[1:]}"
    if found.shape != prepared.shape:
        return f"shape {found.shape[1:]}, where it is {prepared.shape[1:]} there"
    return f"values that differ by up to {np.abs(found - prepared).max():.4g}"
