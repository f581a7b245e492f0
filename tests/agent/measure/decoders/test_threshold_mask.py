import numpy as np
import pytest

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {}


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("threshold_mask", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    return {"scores": generator.random((count, 1, 4, 5)).astype(np.float32)}, {}


def test_the_threshold_is_reached_or_not_and_nan_has_no_class():
    outputs = {"y": np.array([[[0.5, 0.49, np.nan]]])}
    assert find_decoder("threshold_mask", {}).decode(outputs, {})["mask"].tolist() == [[[1, 0, -1]]]


def test_of_logits_the_sigmoid_counts():
    options = {"logits": True, "threshold": 0.75}
    outputs = {"y": np.array([[[1.0, 1.2]]])}
    assert find_decoder("threshold_mask", options).decode(outputs, {})["mask"].tolist() == [[[0, 1]]]


def test_scores_of_several_classes_are_refused():
    refuse({}, {"y": np.zeros((1, 2, 4, 4))})
