import numpy as np
import torch

from toolchain.agent.measure.decoders import find_decoder

OPTIONS = {}


def draw(generator, count):
    """Return outputs and inputs of so many samples, for the suite of all decoders."""
    return {"logits": generator.normal(size=(count, 5)).astype(np.float32) * 9}, {}


def test_it_is_torchs():
    outputs, _ = draw(np.random.default_rng(0), 8)
    expected = torch.sigmoid(torch.from_numpy(outputs["logits"])).numpy()
    np.testing.assert_allclose(find_decoder("sigmoid", {}).decode(outputs, {})["scores"], expected, rtol=1e-6)


def test_large_scores_do_not_overflow_and_nan_stays():
    with np.errstate(over="raise"):
        made = find_decoder("sigmoid", {}).decode({"y": np.array([[1e4, -1e4, np.nan]])}, {})
    np.testing.assert_equal(made["scores"], np.array([[1.0, 0.0, np.nan]], np.float32))
