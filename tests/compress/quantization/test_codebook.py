import ckmeans
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from toolchain.compress.quantization.codebook import TrainCodebooks, choose_codebook


def find_least_error(values, count):
    """The optimum by trying every border: dynamic programming over all prefixes, O(k n^2)."""
    points = np.sort(np.asarray(values, dtype=np.float64))
    n = len(points)
    costs = np.full((n, n + 1), np.inf)
    for start in range(n):
        for stop in range(start + 1, n + 1):
            part = points[start:stop]
            costs[start, stop] = ((part - part.mean()) ** 2).sum()
    best = np.append(0.0, np.full(n, np.inf))
    for _ in range(count):
        best = np.array([0.0, *[min(best[s] + costs[s, stop] for s in range(stop)) for stop in range(1, n + 1)]])
    return best[n]


@given(st.lists(st.floats(-4, 4, width=32), min_size=4, max_size=24), st.sampled_from([2, 3]))
def test_the_codebook_is_the_optimum(values, bits):
    weight = torch.tensor(values, dtype=torch.float32).reshape(1, -1)
    found = float((choose_codebook(weight, bits=bits).expand() - weight).double().square().sum())
    least = min(find_least_error(weight.numpy().ravel(), count) for count in range(1, 2**bits + 1))
    assert found == pytest.approx(least, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("bits", range(2, 9))
def test_a_codebook_has_at_most_2_to_the_bits_values(bits):
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    book = choose_codebook(weight, bits=bits)
    assert len(book.centres) <= 2**bits
    assert book.expand().shape == weight.shape
    assert len(torch.unique(book.expand())) <= 2**bits


def test_each_weight_has_its_nearest_centre():
    weight = torch.randn(40, 50, generator=torch.Generator().manual_seed(1))
    book = choose_codebook(weight, bits=3)
    nearest = (weight.reshape(-1, 1) - book.centres).abs().min(dim=1).values
    # A border lies between the centres as they were before each became the mean of its own.
    np.testing.assert_allclose((book.expand() - weight).abs().reshape(-1), nearest, atol=2e-3)


def test_a_large_tensor_is_clustered_as_well_as_the_optimum_to_four_digits():
    weight = torch.randn(70_000, generator=torch.Generator().manual_seed(2)).reshape(70, 1000)
    clusters = ckmeans.ckmeans(weight.double().reshape(-1).numpy(), 8)
    optimum = sum(((cluster - cluster.mean()) ** 2).sum() for cluster in clusters)
    found = float((choose_codebook(weight, bits=3).expand() - weight).double().square().sum())
    assert found == pytest.approx(optimum, rel=1e-4)


def test_zero_is_a_centre_of_a_pruned_weight_and_only_zeros_have_it():
    weight = torch.randn(20, 30, generator=torch.Generator().manual_seed(3))
    weight[weight.abs() < 0.6] = 0
    expanded = choose_codebook(weight, bits=3, keep_zero=True).expand()
    assert torch.equal(expanded == 0, weight == 0)
    assert len(torch.unique(expanded)) <= 8


def test_a_weight_of_zeros_stays_zero():
    weight = torch.zeros(4, 4)
    assert torch.equal(choose_codebook(weight, bits=2, keep_zero=True).expand(), weight)
    assert torch.equal(choose_codebook(weight, bits=2).expand(), weight)


def test_a_centre_moves_by_the_mean_step_of_its_weights():
    layer = nn.Linear(6, 3, bias=False)
    book = choose_codebook(layer.weight, bits=2)
    with torch.no_grad():
        layer.weight.copy_(book.expand())
    inputs = torch.randn(5, 6, generator=torch.Generator().manual_seed(4))

    centres = book.centres.clone().requires_grad_()
    torch.nn.functional.linear(inputs, centres[book.codes]).square().sum().backward()
    counts = torch.bincount(book.codes.reshape(-1))
    expected = (centres - 0.01 * centres.grad / counts).detach()[book.codes]

    model = nn.Sequential(layer)
    hook = TrainCodebooks(model, {"0": book.codes})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model(inputs).square().sum().backward()
    hook.before_step(0.0)
    optimizer.step()
    with torch.no_grad():
        hook.after_step(0.01)
    torch.testing.assert_close(layer.weight.detach(), expected)
