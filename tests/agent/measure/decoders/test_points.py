import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {"scale": [64.0, 48.0]}


def refuse_options(options):
    with pytest.raises(ToolchainError) as caught:
        find_decoder("points", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("points", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    return {"points": generator.random((count, 5, 3)).astype(np.float32)}, {}


def test_numbers_are_scaled_and_scores_kept():
    made = find_decoder("points", OPTIONS).decode({"y": np.array([[[0.5, 0.5, 0.3], [0.25, 1.0, 0.5]]])}, {})
    np.testing.assert_allclose(made["points"], [[[32, 24, 0.3], [16, 48, 0.5]]], rtol=1e-6)
    np.testing.assert_allclose(made["scores"], [0.4], rtol=1e-6)


def test_x_and_y_may_follow_one_another():
    made = find_decoder("points", {}).decode({"y": np.array([[1.0, 2.0, 3.0, 4.0]])}, {})
    assert made["points"].tolist() == [[[1.0, 2.0, 1.0], [3.0, 4.0, 1.0]]]


def test_what_is_no_pairs_is_refused():
    refuse({}, {"y": np.zeros((1, 3))})
    refuse({}, {"y": np.zeros((1, 3, 4))})
    refuse({}, {"y": np.zeros((1, 0))})
    refuse_options({"scale": [1.0]})
