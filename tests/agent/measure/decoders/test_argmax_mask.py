import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {}


def refuse_options(options):
    with pytest.raises(ToolchainError) as caught:
        find_decoder("argmax_mask", options)
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.USAGE, True)


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("argmax_mask", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    return {"logits": generator.normal(size=(count, 3, 4, 5)).astype(np.float32), "other": np.zeros((count, 2))}, {}


def test_the_largest_score_is_the_class_of_equal_ones_the_first_and_of_nan_none():
    scores = np.array([[0.0, 1.0, 0.5], [1.0, 1.0, 0.0], [np.nan, 9.0, 0.0]]).T.reshape(1, 3, 1, 3)
    assert find_decoder("argmax_mask", {}).decode({"y": scores}, {})["mask"].tolist() == [[[1, 0, -1]]]


def test_the_layout_is_an_option():
    scores = np.random.default_rng(0).random((2, 3, 4, 5))
    first = find_decoder("argmax_mask", {}).decode({"y": scores}, {})["mask"]
    last = find_decoder("argmax_mask", {"layout": "NHWC"}).decode({"y": scores.transpose(0, 2, 3, 1)}, {})["mask"]
    np.testing.assert_array_equal(first, last)
    refuse_options({"layout": "CHW"})


def test_one_class_alone_is_refused():
    refuse({}, {"y": np.zeros((1, 1, 4, 4))})
