"""ONNX Runtime's own quantize_static: MinMax, a scale per channel, uint8 activations, which x86 prefers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from contextlib import chdir
from pathlib import Path
from typing import Any

import onnx
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process


class _Reader(quantization.CalibrationDataReader):
    def __init__(self, feeds: Iterable[Mapping[str, Any]]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Any:
        return next(self._feeds, None)


def quantize(source: Path, feeds: Iterable[Mapping[str, Any]], *, is_prepared: bool = True) -> onnx.ModelProto:
    """Return the int8 model of an ONNX file; is_prepared: after its own preprocessing, which its documents advise."""
    source = source.resolve()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):  # where it leaves files behind that it fails on
        prepared, target = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        if is_prepared:
            quant_pre_process(str(source), str(prepared))
        quantization.quantize_static(
            str(prepared if is_prepared else source),
            str(target),
            _Reader(feeds),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return onnx.load(target)
