import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.metrics import find_metric


def draw(generator, count, *, perfect):
    """Return outputs and targets of so many samples, for the suite of all metrics."""
    identities = np.arange(count) // 2
    centres = generator.normal(size=(count, 16))
    noise = generator.normal(size=(count, 16)) * (0.01 if perfect else 1.0)
    return {"embedding": (centres[identities] + noise).astype(np.float32)}, {"identity": identities}


def measure(outputs, targets):
    tally = find_metric("recall_at_k").start()
    tally.add(outputs, targets)
    return tally.compute()


def refuse(code, outputs, targets):
    with pytest.raises(ToolchainError) as caught:
        measure(outputs, targets)
    assert (caught.value.code, bool(caught.value.fix)) == (code, True)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_share_that_scikit_learns_neighbours_find(seed, k):
    outputs, targets = draw(np.random.default_rng(seed), 40, perfect=False)
    vectors = outputs["embedding"].astype(np.float64)
    near = NearestNeighbors(n_neighbors=k + 1, metric="cosine").fit(vectors).kneighbors(vectors, return_distance=False)
    own = targets["identity"][near[:, 1:]] == targets["identity"][:, None]
    tally = find_metric("recall_at_k", {"k": k}).start()
    tally.add(outputs, targets)
    assert tally.compute() == pytest.approx(own.any(axis=1).mean(), abs=1e-9)


def test_of_equally_near_ones_the_own_comes_last():
    assert measure({"e": np.ones((4, 2))}, {"identity": np.array([0, 0, 1, 1])}) == 0.0


def test_a_sample_that_is_alone_asks_nothing():
    vectors = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    assert measure({"e": vectors}, {"identity": np.array([0, 0, 2**40])}) == 1.0


def test_a_vector_with_a_nan_finds_nothing_and_is_in_the_way():
    vectors = np.array([[1.0, 0.0], [1.0, 0.1], [np.nan, 1.0], [0.0, 1.0]])
    assert measure({"e": vectors}, {"identity": np.array([0, 0, 1, 1])}) == 0.0


def test_more_samples_than_are_asked_at_a_time_are_all_asked():
    outputs, targets = draw(np.random.default_rng(1), 600, perfect=True)
    assert measure(outputs, targets) == 1.0


def test_samples_of_which_all_are_alone_prove_nothing():
    refuse(ExitCode.INVALID, {"e": np.ones((3, 2))}, {"identity": np.arange(3)})


@pytest.mark.parametrize(
    ("vectors", "identity"), [((3, 2), np.zeros(3)), ((3, 0), np.zeros(3, int)), ((2, 2), np.zeros(3, int))]
)
def test_vectors_or_identities_of_another_kind_are_refused(vectors, identity):
    refuse(ExitCode.MALFORMED, {"e": np.ones(vectors)}, {"identity": identity})


@pytest.mark.parametrize("k", [0, -1, 1.5])
def test_a_k_that_is_none_is_refused(k):
    with pytest.raises(ToolchainError) as caught:
        find_metric("recall_at_k", {"k": k})
    assert caught.value.code is ExitCode.USAGE
