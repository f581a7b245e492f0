"""Golden pairs: frames with the inputs they become, and outputs with the answers they are, for programs to be checked against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.agent.manifest import DecoderSpec
from toolchain.agent.measure.decoders import find_decoder
from toolchain.agent.measure.preprocess.picture import prepare_picture
from toolchain.agent.measure.preprocess.yuv import list_frame_shape
from toolchain.agent.measure.targets import Ragged, TargetArray, split_targets
from toolchain.agent.sensor import GoldenPairs, InputSpec, PicturePair, PictureSpec, count_channels
from toolchain.bundle.draw_frame import draw_frame

Run = tuple[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]]]
"""Inputs and outputs, by name."""

ANSWERED_SAMPLES = 4
"""So many of the first golden outputs are decoded: masks of 96x96 take 150 kB."""

# Of the input's side, wide and high: larger and smaller, wider and higher, and one pixel, which has no neighbour. Few, since
# each is stored: with inputs of 224, half a megabyte in all.
_SIZES = ((1.6, 0.9), (0.7, 1.3), (2.5, 2.5), (0.5, 0.5))
_BOXES = 5


def write_picture_pairs(spec: PictureSpec, folder: Path) -> tuple[tuple[PicturePair, ...], str]:
    """Write frames, the inputs that they become and boxes restored to each, into golden/ of a bundle; return their paths."""
    boxes = _draw_boxes(spec)
    boxes_path = "golden/boxes.npy"
    np.save(folder / boxes_path, boxes, allow_pickle=False)
    pairs = []
    for index, (height, width) in enumerate(_list_sizes(spec)):
        shape = (
            list_frame_shape(spec.colour, height, width)
            if spec.is_yuv
            else (height, width, count_channels(spec.colour))
        )
        frame = draw_frame(*shape, dtype=spec.type)
        tensor, at = prepare_picture(frame, spec)
        paths = {part: f"golden/{part}-{index}.npy" for part in ("picture", "tensor", "restored")}
        arrays = (frame, tensor, at.restore_boxes(boxes))
        for path, array in zip(paths.values(), arrays, strict=True):
            np.save(folder / path, array, allow_pickle=False)
        pairs.append(PicturePair(**paths, left=at.left, top=at.top, width=at.width, height=at.height))
    return tuple(pairs), boxes_path


def write_answers(decoder: DecoderSpec | None, runs: Sequence[Run], folder: Path) -> dict[str, str]:
    """Write what a decoder makes of some runs, inputs and outputs `(n, ...)`, into golden/ of a bundle; return the paths by name."""
    if decoder is None:
        return {}
    reader = find_decoder(decoder.name, decoder.options)
    decoded = [reader.decode(outputs, inputs) for inputs, outputs in runs]
    paths = {}
    for index, (name, array) in enumerate(split_targets(_join(decoded)).items()):
        paths[name] = f"golden/answer-{index}.npy"
        np.save(folder / paths[name], np.ascontiguousarray(array), allow_pickle=False)
    return paths


def _join(answers: Sequence[Mapping[str, TargetArray]]) -> dict[str, TargetArray]:
    """Return the answers of several runs as those of one."""
    joined: dict[str, TargetArray] = {}
    for name, first in answers[0].items():
        parts = [answer[name] for answer in answers]
        if isinstance(first, Ragged):
            ragged = [part for part in parts if isinstance(part, Ragged)]
            lengths = np.concatenate([np.diff(part.offsets) for part in ragged])
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
            joined[name] = Ragged(values=np.concatenate([part.values for part in ragged]), offsets=offsets)
        else:
            joined[name] = np.concatenate([part for part in parts if not isinstance(part, Ragged)])
    return joined


def write_pairs(spec: InputSpec | None, answers: dict[str, str], folder: Path) -> GoldenPairs:
    """Write the pairs of the input, where that is a picture, and return them with the answers that were written."""
    if spec is None or spec.picture is None:
        return GoldenPairs(answers=answers)
    pictures, boxes = write_picture_pairs(spec.picture, folder)
    return GoldenPairs(pictures=pictures, boxes=boxes, answers=answers)


def _list_sizes(spec: PictureSpec) -> Iterator[tuple[int, int]]:
    """Yield heights and widths of frames; of YUV they are even."""
    yield spec.height, spec.width
    step = 2 if spec.is_yuv else 1
    if spec.resize != "none":
        for wide, high in _SIZES:
            yield max(1, round(spec.height * high / step)) * step, max(1, round(spec.width * wide / step)) * step
        yield step, step


def _draw_boxes(spec: PictureSpec) -> NDArray[np.float32]:
    """Return boxes of the input: some inside, with fractions, and the last reaching beyond every side."""
    drawn = np.random.default_rng(0).random((_BOXES, 2, 2), dtype=np.float32)
    corners = np.sort(drawn, axis=1) * np.array([spec.width, spec.height], dtype=np.float32)
    boxes = corners.reshape(-1, 4)
    boxes[-1] = (-3.5, -2.25, spec.width + 1.75, spec.height + 4.5)
    return boxes
