import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    wanted = generator.normal(size=(count, 6)).astype(np.float32)
    found = wanted if perfect else wanted + generator.normal(size=(count, 6)).astype(np.float32)
    return {"embedding": found}, {"embeddings": wanted}


def measure(outputs, targets):
    tally = find_metric("cosine").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_torchs(seed):
    outputs, targets = draw(np.random.default_rng(seed), 20, perfect=False)
    pair = [torch.from_numpy(array).double() for array in (outputs["embedding"], targets["embeddings"])]
    assert measure(outputs, targets) == pytest.approx(float(cosine_similarity(*pair).mean()), abs=1e-9)


@pytest.mark.parametrize("found", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [-1.0, -1.0]])
def test_what_points_nowhere_is_as_wrong_as_can_be(found):
    assert measure({"e": np.array([found])}, {"embeddings": np.ones((1, 2))}) == pytest.approx(-1.0)


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_the_length_of_a_vector_does_not_matter(size):
    assert measure({"e": np.full((1, 2), size)}, {"embeddings": np.ones((1, 2))}) == 1.0


@pytest.mark.parametrize("wanted", [np.zeros((2, 3)), np.full((2, 3), np.inf), np.ones((2, 4)), np.ones((2, 3), bool)])
def test_targets_without_a_direction_are_refused(wanted):
    refuse(ExitCode.MALFORMED, {"e": np.ones((2, 3))}, {"embeddings": wanted})
