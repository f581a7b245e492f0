"""What a board does at the most under OpenVINO (peaks.py): of products with constant weights, as its layers are."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Callable

from ...errors import ExitCode, ToolchainError
from ...temporary import TemporaryFolder
from ..layer_times import Peaks
from ..peaks import SIDE, find_peaks
from .compilation import COMPUTES_IN, compile_model, has_bf16, read_model
from .layers import read_layers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# onnx.helper's bytes of products of an input a and a constant: tests/agent/measure/openvino/peak_products.py makes them. In
# int8 both ends are uint8, as between two layers.
MATMUL_FLOAT = base64.b64decode(
    "CAgSADqPAQo2CgVzaGFwZRIBdyIPQ29uc3RhbnRPZlNoYXBlKhkKBXZhbHVlKg0IARABIgQAAAA/QgF2oAEEChEKAWEKAXcSAWMiBk1hdE11"
    "bBIBZyoRCAIQBzoEgAOAA0IFc2hhcGVaFQoBYRIQCg4IARIKCgMIgAMKAwiAA2IVCgFjEhAKDggBEgoKAwiAAwoDCIADQgQKABAN"
)
MATMUL_INT8 = base64.b64decode(
    "CAgSADqMAgoeCgFhCgFzCgF6EgF4IhBEZXF1YW50aXplTGluZWFyCjMKBXNoYXBlEgFxIg9Db25zdGFudE9mU2hhcGUqFgoFdmFsdWUqCggB"
    "EAMqAQNCAXagAQQKGwoBcQoBcxIBdyIQRGVxdWFudGl6ZUxpbmVhcgoRCgF4CgF3EgFtIgZNYXRNdWwKHAoBbQoBbwoBehIBYyIOUXVhbnRp"
    "emVMaW5lYXISAWcqEQgCEAc6BIADgANCBXNoYXBlKgsQASIEAACAPUIBcyoLEAEiBAAAAEBCAW8qCRACKgKAAUIBeloVCgFhEhAKDggCEgoK"
    "AwiAAwoDCIADYhUKAWMSEAoOCAISCgoDCIADCgMIgANCBAoAEA0="
)


def measure_peaks(threads: int, copy_bytes: int) -> Peaks:
    """Return the roofs; raises ToolchainError (exit 20) where OpenVINO computes a product in another precision than asked."""
    import numpy as np

    floats = np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32)
    run_float = _bind_product(MATMUL_FLOAT, floats, "float32", threads)
    run_int8 = _bind_product(MATMUL_INT8, (floats * 32).astype(np.int8).view(np.uint8), "int8", threads)
    run_bf16 = _bind_product(MATMUL_FLOAT, floats, "bf16", threads) if has_bf16() else None
    return find_peaks(run_float, run_int8, threads, copy_bytes, run_bf16=run_bf16)


def _bind_product(data: bytes, factor: NDArray[np.generic], precision: str, threads: int) -> Callable[[], object]:
    import openvino

    with TemporaryFolder() as folder:
        path = folder / "model.onnx"
        path.write_bytes(data)
        model = read_model(path)
    if precision == "bf16":
        model.set_rt_info(precision, ["framework", COMPUTES_IN])
    compiled = compile_model(model, path, threads)
    ran = [layer.precision for layer in read_layers(compiled.get_runtime_model().get_ordered_ops(), {})]
    if ran != [precision]:
        raise ToolchainError(
            ExitCode.INVALID,
            f"OpenVINO computes the product that {precision} is measured by in {', '.join(ran) or 'no known precision'}",
            where="the peaks of this device",
            expected=precision,
            found=", ".join(ran) or "none",
            fix="none is needed: the report goes without shares of the peak; report it with OpenVINO's version and the CPU",
        )
    request: Any = compiled.create_infer_request()
    request.set_input_tensor(0, openvino.Tensor(factor, shared_memory=True))

    def run() -> object:
        return request.infer(share_outputs=True)  # else it copies what it returns

    return run
