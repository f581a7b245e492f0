"""Quantizes an ONNX file by AMD Quark for ONNX Runtime; run by the Python of an environment that has it, and nothing of ours.

    PYTHON quark_worker.py MODEL.onnx CALIBRATION.npz OUT.onnx

CALIBRATION.npz holds the feeds of run i as "i/NAME". The recipe is Quark's most thorough for CPUs that want unsigned
activations: percentile, equalization across layers, AdaRound; with a scale per channel, for which a model is brought to
opset 13 first. Where AdaRound fails or takes too long for a model, OUT is that of the same recipe without it, written
before. OUT with the suffix .recipe has the name of the one that OUT is of.
"""

import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
from onnxruntime.quantization.calibrate import CalibrationDataReader
from quark.onnx import ModelQuantizer
from quark.onnx.quantization.config import Config, get_default_config

# The first opset whose DequantizeLinear has a scale per channel.
_OPSET_MIN = 13


class Reader(CalibrationDataReader):
    """Feeds that may be read several times, as Quark does."""

    def __init__(self, feeds: list) -> None:
        """Begin at the first."""
        self._feeds, self._iterator = feeds, iter(feeds)

    def get_next(self) -> dict | None:
        """Return the next feed, None after the last."""
        return next(self._iterator, None)

    def reset_iter(self) -> None:
        """Begin again."""
        self._iterator = iter(self._feeds)

    rewind = reset_iter

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._feeds)


def main() -> None:
    """Write the int8 model."""
    source, calibration, target = sys.argv[1:]
    feeds = defaultdict(dict)
    with np.load(calibration) as arrays:
        for key in arrays.files:
            index, name = key.split("/", 1)
            feeds[int(index)][name] = arrays[key]
    with tempfile.TemporaryDirectory() as folder:
        raised = raise_opset(source, folder)
        for recipe in ("U8S8_AAWS", "U8S8_AAWS_ADAROUND"):
            config = get_default_config(recipe)
            config.per_channel = True
            reader = Reader([feeds[index] for index in sorted(feeds)])
            part = str(Path(folder, "quantized.onnx"))
            ModelQuantizer(Config(global_quant_config=config)).quantize_model(raised, part, reader)
            shutil.move(part, target)
            Path(target).with_suffix(".recipe").write_text(recipe, encoding="utf-8")


def raise_opset(source: str, folder: str) -> str:
    """Return the model's path, of one written into the folder where its opset is too old."""
    model = onnx.load(source)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset >= _OPSET_MIN:
        return source
    path = str(Path(folder, "raised.onnx"))
    onnx.save(onnx.version_converter.convert_version(model, _OPSET_MIN), path)
    return path


if __name__ == "__main__":
    main()
