import onnx
import onnx.parser
import pytest

from toolchain.errors import ExitCode, ToolchainError
from toolchain.graph.opset import OPSET
from toolchain.lower import pair_opset


def build(opset):
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> net (float[1] x) => (float[1] y) {{ y = Relu (x) }}'
    )


@pytest.mark.parametrize("opset", [13, OPSET, OPSET + 2])
def test_an_opset_whose_pairs_run_here_is_taken(monkeypatch, opset):
    monkeypatch.setattr(pair_opset, "runs_pairs", lambda asked: asked <= OPSET + 2)
    pair_opset.check_pairs(build(opset))


@pytest.mark.parametrize("newest", [OPSET, OPSET + 2])
def test_a_newer_one_is_refused_with_those_that_are_known_and_how_to_export(monkeypatch, newest):
    monkeypatch.setattr(pair_opset, "runs_pairs", lambda asked: asked <= newest)
    with pytest.raises(ToolchainError) as caught:
        pair_opset.check_pairs(build(newest + 4))
    error = caught.value
    assert (error.code, error.found) == (ExitCode.INCOMPATIBLE, str(newest + 4))
    assert error.expected.startswith(f"up to {newest};")
    assert f"opset_version={OPSET}" in error.fix


def test_pairs_of_the_opset_that_models_are_stated_in_run_here_and_of_one_that_is_none_do_not():
    assert pair_opset.runs_pairs(OPSET)
    assert not pair_opset.runs_pairs(999)
