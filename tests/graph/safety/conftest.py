"""Small models for the checks, and what a refusal must be."""

from collections.abc import Callable

import onnx
import pytest
from onnx import parser

from toolchain.errors import ExitCode, ToolchainError

Check = Callable[[onnx.ModelProto, str], None]


@pytest.fixture
def parse():
    """Return a function that makes a model of ONNX's text form, without its header."""

    def parse_text(text: str, *, opset: int = 21) -> onnx.ModelProto:
        opsets = f'"" : {opset}, "local" : 1, "other" : 1, "com.microsoft" : 1'
        return parser.parse_model(f"<ir_version: 10, opset_import: [{opsets}]>\n{text}")

    return parse_text


@pytest.fixture
def refuse():
    """Return a function that has a check refuse a model (exit 23, with a place and a fix), and returns what it says."""

    def run(check: Check, model: onnx.ModelProto) -> str:
        with pytest.raises(ToolchainError) as caught:
            check(model, "model.onnx")
        error = caught.value
        assert error.code == ExitCode.MALFORMED
        assert error.fix
        assert (error.where or "").startswith("model.onnx")
        return str(error)

    return run
