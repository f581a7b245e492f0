import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toolchain.compress.pruning.thresholds import count_pruned, count_zeros, prune_below, prune_smallest


@given(st.integers(0, 10**6), st.floats(0, 1))
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_smallest_go_and_the_others_stay(scope, seed, amount):
    weights = [
        torch.from_numpy(np.random.default_rng([seed, i]).normal(size=(7, 5 + i)).astype(np.float32)) for i in range(2)
    ]
    before = [weight.numpy().copy() for weight in weights]
    prune_smallest(weights, amount, scope)
    parts = [(np.concatenate([b.ravel() for b in before]), np.concatenate([w.numpy().ravel() for w in weights]))]
    if scope == "layer":
        parts = [(b.ravel(), w.numpy().ravel()) for b, w in zip(before, weights, strict=True)]
    for old, new in parts:
        gone = np.argsort(np.abs(old))[: round(amount * old.size)]
        expected = old.copy()
        expected[gone] = 0
        np.testing.assert_array_equal(new, expected)
    assert count_zeros(weights) == count_pruned(weights, amount, scope)


def test_what_is_zero_stays_zero_when_more_goes():
    weight = torch.randn(100, generator=torch.Generator().manual_seed(0))
    prune_smallest([weight], 0.3, "global")
    zeros = weight == 0
    prune_smallest([weight], 0.6, "global")
    assert (weight == 0)[zeros].all()
    assert count_zeros([weight]) == 60


def test_an_amount_of_zero_removes_nothing():
    weight = torch.randn(10, generator=torch.Generator().manual_seed(0))
    prune_smallest([weight], 0.0, "global")
    assert count_zeros([weight]) == 0


def test_a_threshold_includes_its_own_magnitude():
    weight = torch.tensor([-0.5, 0.25, 0.5, 0.75])
    prune_below([weight], 0.5)
    assert weight.tolist() == [0, 0, 0, 0.75]
