"""NNCF's post-training quantization with OpenVINO: quantized by an environment of its own, run beside ours."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORKER = Path(__file__).with_name("nncf_worker.py")


class OpenVinoIr:
    """A model of NNCF's, compiled for one thread and the lowest latency, with OpenVINO's own defaults otherwise."""

    def __init__(self, path: Path, *, threads: int, outputs: Iterable[str]) -> None:
        import openvino

        properties = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        compiled = openvino.Core().compile_model(openvino.Core().read_model(str(path)), "CPU", properties)
        self._outputs = tuple(outputs)
        self._request = compiled.create_infer_request()

    def run(self, feeds: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Return one array per output, in the order of the ONNX file."""
        self._request.infer(dict(feeds), share_inputs=True)
        return {name: self._request.get_output_tensor(i).data.copy() for i, name in enumerate(self._outputs)}


def quantize(python: Path, source: Path, feeds: Iterable[Mapping[str, NDArray[Any]]], target: Path) -> None:
    """Write the IR of an ONNX file; raises CalledProcessError with what NNCF said."""
    with tempfile.TemporaryDirectory() as folder:
        calibration = Path(folder) / "calibration.npz"
        arrays = {f"{i}/{name}": array for i, feed in enumerate(feeds) for name, array in feed.items()}
        np.savez(calibration, **arrays)  # type: ignore[arg-type]  # keys of savez's own are no feeds
        command = [str(python), str(_WORKER), str(source), str(calibration), str(target)]
        subprocess.run(command, check=True, capture_output=True, text=True)
