"""NNCF's post-training quantization with OpenVINO: quantized by an environment of its own, run beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

WORKER = Path(__file__).with_name("nncf_worker.py")


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
