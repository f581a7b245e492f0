import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toolchain.compress.pruning.proximal import Lasso, LassoHook, Slice, slice_all


def make_rows(seed, rows=6, columns=4):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32))


@given(st.integers(0, 10**6), st.floats(0.001, 2))
def test_a_group_moves_to_the_minimum_of_half_the_squared_distance_plus_the_norm(seed, by):
    weight = make_rows(seed)
    before = weight.numpy().astype(np.float64)
    lasso = Lasso(len(weight), (Slice(weight, torch.arange(6), torch.arange(6)),))
    lasso.shrink(by)
    for old, new in zip(before, weight.numpy(), strict=True):
        limit = by * np.sqrt(old.size)
        norm = np.linalg.norm(old)
        if norm <= limit:
            assert not new.any()
        else:  # the gradient of the sum is zero there
            np.testing.assert_allclose(new - old + limit * new / np.linalg.norm(new), 0, atol=1e-5)


def test_a_group_of_one_is_soft_thresholded():
    scale = torch.tensor([0.5, -0.3, 0.05, -0.1])
    lasso = Lasso(4, (Slice(scale, torch.arange(4), torch.arange(4)),))
    lasso.shrink(0.1)
    torch.testing.assert_close(scale, torch.tensor([0.4, -0.2, 0.0, 0.0]))
    assert scale[2:].tolist() == [0, 0]


def test_a_group_reaches_over_several_parameters_and_takes_its_followers_along():
    first, second, shift = torch.tensor([0.1, 3.0]), torch.tensor([4.0, 0.1]), torch.tensor([1.0, 1.0])
    part = [Slice(p, torch.arange(2), torch.arange(2)) for p in (first, second, shift)]
    lasso = Lasso(2, (part[0], part[1]), followers=(part[2],))
    np.testing.assert_allclose(lasso.measure(), [np.hypot(0.1, 4), np.hypot(3, 0.1)], rtol=1e-6)
    lasso.shrink(3.01 / np.sqrt(2))
    assert (first[1], second[1], shift[1]) == (0, 0, 0)
    assert first[0] > 0
    assert shift[0] == 1


def test_rows_of_a_parameter_that_are_in_no_group_do_not_move():
    weight = make_rows(0)
    before = weight.clone()
    Lasso(1, (Slice(weight, torch.tensor([2]), torch.tensor([0])),)).shrink(100.0)
    assert not weight[2].any()
    kept = [0, 1, 3, 4, 5]
    assert torch.equal(weight[kept], before[kept])


def test_the_hook_shrinks_by_learning_rate_and_strength():
    weight = torch.full((4,), 1.0)
    lasso = Lasso(1, (slice_all(weight),))
    LassoHook([lasso], strength=0.5).after_step(0.1)
    assert lasso.measure().item() == pytest.approx(2 - 0.1 * 0.5 * 2)
