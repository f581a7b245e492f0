import numpy as np
import pytest
import torch

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {}


def refuse(options, outputs, inputs=None):
    decoder = find_decoder("softmax", options)
    with pytest.raises(ToolchainError) as caught:
        decoder.decode(outputs, inputs or {})
    assert (caught.value.code, bool(caught.value.fix)) == (ExitCode.MALFORMED, True)


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    return {"logits": generator.normal(size=(count, 5)).astype(np.float32), "other": np.zeros((count, 2))}, {}


def test_it_is_torchs():
    outputs, _ = draw(np.random.default_rng(0), 8)
    expected = torch.softmax(torch.from_numpy(outputs["logits"]), dim=1).numpy()
    np.testing.assert_allclose(find_decoder("softmax", {}).decode(outputs, {})["scores"], expected, rtol=1e-6)


def test_large_scores_do_not_overflow_and_nan_stays():
    made = find_decoder("softmax", {"output": "y"}).decode({"y": np.array([[1e4, 0.0], [np.nan, 0.0]])}, {})
    assert made["scores"][0].tolist() == [1.0, 0.0]
    assert np.isnan(made["scores"][1]).all()


def test_scores_of_pixels_are_refused():
    refuse({}, {"y": np.zeros((2, 3, 4, 4))})
