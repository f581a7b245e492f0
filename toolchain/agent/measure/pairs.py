"""The golden pairs of a bundle, held against what this agent makes of them: at both ends of the payload."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

import numpy as np
from numpy.typing import NDArray

from ..errors import ExitCode, ToolchainError
from ..manifest import Manifest
from ..sensor import SIDE_MAX, PicturePair, PictureSpec
from .decoders import find_decoder
from .golden import GoldenArrays, load_array
from .preprocess.picture import prepare_picture
from .preprocess.place import Placement
from .targets import split_targets
from .text_pairs import check_texts

# Exponentials of two libraries differ in their last bits.
_RELATIVE, _ABSOLUTE = 1e-4, 1e-6


def read_frame(bundle_dir: Path, pair: PicturePair) -> NDArray[Any]:
    """Return the frame of a pair; raises ToolchainError (exit 23) for one that no sensor gives."""
    frame = np.array(load_array(bundle_dir, pair.picture))
    if frame.ndim != 3 or max(frame.shape) > SIDE_MAX or min(frame.shape) < 1:
        raise _refuse(ExitCode.MALFORMED, "a golden frame is none", pair.picture, "(h, w, c)", str(frame.shape))
    return frame


def check_pairs(bundle_dir: Path, manifest: Manifest, golden: GoldenArrays) -> None:
    """Refuse (exit 18) pairs of a bundle that this agent does not make: an application that does would be wrong.

    Raises ToolchainError (exit 23) where the files of a pair cannot be read.
    """
    pairs = manifest.golden.pairs
    if manifest.input is not None and manifest.input.picture is not None and pairs.boxes is not None:
        boxes = load_array(bundle_dir, pairs.boxes)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise _refuse(ExitCode.MALFORMED, "golden boxes are none", pairs.boxes, "(rows, 4)", str(boxes.shape))
        for pair in pairs.pictures:
            _check_picture(bundle_dir, pair, manifest.input.picture, np.array(boxes))
    check_texts(bundle_dir, manifest)
    if pairs.answers:
        _check_answers(bundle_dir, manifest, golden)


def _check_picture(bundle_dir: Path, pair: PicturePair, picture: PictureSpec, boxes: NDArray[Any]) -> None:
    tensor, at = prepare_picture(read_frame(bundle_dir, pair), picture)
    stated = Placement(pair.left, pair.top, pair.width, pair.height, at.source_width, at.source_height)
    if at != stated:
        raise _differ("a frame lies elsewhere in the input", pair.picture, str(stated), str(at))
    for path, made in ((pair.tensor, tensor), (pair.restored, at.restore_boxes(boxes))):
        expected = load_array(bundle_dir, path)
        if expected.dtype != made.dtype or not np.array_equal(expected, made):
            raise _differ("what is made of a golden frame has other bits", path, "the same", "others")


def _check_answers(bundle_dir: Path, manifest: Manifest, golden: GoldenArrays) -> None:
    decoder, paths = manifest.metric.decoder, manifest.golden.pairs.answers
    if decoder is None:
        where, fix = "golden.pairs.answers", "no decoder"
        raise _refuse(ExitCode.MALFORMED, "there are answers and nothing that makes them", where, "a decoder", fix)
    stored = {name: np.array(load_array(bundle_dir, path)) for name, path in paths.items()}
    reader = find_decoder(decoder.name, decoder.options)
    parts: List[Any] = []
    for start in range(min(_count(stored), golden.samples)):
        named = golden.read_outputs(start, start + 1)
        outputs = {spec.name: named[spec.name] for spec in manifest.outputs}
        parts.append(split_targets(reader.decode(outputs, golden.read_inputs(start, start + 1))))
    for name, expected in stored.items():
        made = [part[name] for part in parts if name in part and not name.endswith(".offsets")]
        if name.endswith(".offsets"):
            continue
        found = np.concatenate(made) if made else np.empty(0)
        if found.shape != expected.shape or not np.allclose(found, expected, _RELATIVE, _ABSOLUTE, equal_nan=True):
            raise _differ(
                "what the decoder makes of the golden outputs differs", paths[name], "the golden answers", name
            )


def _count(stored: Any) -> int:
    """Return how many samples the answers are of."""
    offsets = [array for name, array in stored.items() if name.endswith(".offsets")]
    return len(offsets[0]) - 1 if offsets else len(next(iter(stored.values())))


def _differ(what: str, where: str, expected: str, found: str) -> ToolchainError:
    return _refuse(ExitCode.PARITY, what, where, expected, found)


def _refuse(code: ExitCode, what: str, where: str, expected: str, found: str) -> ToolchainError:
    fix = "write the bundle again, with this agent in it"
    return ToolchainError(code, what, where=where, expected=expected, found=found, fix=fix)
