"""Quantizes an ONNX file by AMD Quark for ONNX Runtime; run by the Python of an environment that has it, and nothing of ours.

    PYTHON quark_worker.py MODEL.onnx CALIBRATION.npz OUT.onnx

CALIBRATION.npz holds the feeds of run i as "i/NAME". The recipe is Quark's most thorough for CPUs that want unsigned
activations: percentile, equalization across layers, AdaRound; with a scale per channel. Where AdaRound fails or takes too
long for a model, OUT is that of the same recipe without it, written before.
"""

import os
import sys
from collections import defaultdict

import numpy as np
from onnxruntime.quantization.calibrate import CalibrationDataReader
from quark.onnx import ModelQuantizer
from quark.onnx.quantization.config import Config, get_default_config


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
    for recipe in ("U8S8_AAWS", "U8S8_AAWS_ADAROUND"):
        config = get_default_config(recipe)
        config.per_channel = True
        reader = Reader([feeds[index] for index in sorted(feeds)])
        ModelQuantizer(Config(global_quant_config=config)).quantize_model(source, target + ".part", reader)
        os.replace(target + ".part", target)  # noqa: PTH105 - one file over another, whole


if __name__ == "__main__":
    main()
