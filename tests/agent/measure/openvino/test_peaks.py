"""The roofs under OpenVINO: of products that run in the precision whose roof they are, or there are none."""

import onnx
import pytest

from tests.agent.measure.openvino.peak_products import make_float_product, make_int8_product
from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.libraries import find_module
from toolchain.agent.measure.openvino import peaks
from toolchain.agent.measure.openvino.compilation import has_bf16
from toolchain.agent.measure.session import find_runtime

needs_openvino = pytest.mark.skipif(
    find_module("openvino") is None, reason="OpenVINO is not installed (the extra openvino)"
)


@pytest.mark.parametrize(
    ("data", "made"),
    [(peaks.MATMUL_FLOAT, make_float_product()), (peaks.MATMUL_INT8, make_int8_product())],
    ids=["float", "int8"],
)
def test_the_bytes_of_a_product_are_what_onnx_makes(data, made):
    assert onnx.load_from_string(data) == made


@needs_openvino
def test_every_roof_is_a_speed():
    found = find_runtime("openvino").measure_peaks(1, 1)
    assert min(found.list_speeds()) > 0
    assert (found.bf16_gmacs is None) == (not has_bf16())


@needs_openvino
def test_a_product_that_runs_in_another_precision_is_no_roof(monkeypatch):
    find_runtime("openvino")
    monkeypatch.setattr(peaks, "MATMUL_INT8", peaks.MATMUL_FLOAT)
    with pytest.raises(ToolchainError) as caught:
        find_runtime("openvino").measure_peaks(1, 1)
    assert (caught.value.code, caught.value.expected, caught.value.found) == (ExitCode.INVALID, "int8", "float32")
