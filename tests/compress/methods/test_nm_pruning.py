import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.compress.conftest import build_net
from toolchain.compress.methods.nm_pruning import find_mask
from toolchain.errors import ExitCode, ToolchainError


@given(st.integers(0, 10**6), st.sampled_from([(1, 2), (2, 4), (1, 4), (4, 8)]), st.sampled_from([1, 3]))
def test_every_group_along_the_inputs_keeps_its_n_largest(seed, pattern, kernel):
    n, m = pattern
    torch.manual_seed(seed)
    layer = nn.Conv2d(16, 3, kernel)
    mask, weight = find_mask(layer, n, m).numpy(), layer.weight.detach().numpy()
    for o, y, x, c in np.ndindex(3, kernel, kernel, 16 // m):
        group = np.abs(weight[o, c * m : (c + 1) * m, y, x])
        expected = np.isin(np.arange(m), np.argsort(group)[m - n :])
        np.testing.assert_array_equal(mask[o, c * m : (c + 1) * m, y, x], expected)


def test_linear_layers_are_grouped_along_their_inputs():
    layer = nn.Linear(8, 5)
    assert find_mask(layer, 2, 4).reshape(5, 2, 4).sum(dim=2).eq(2).all()


def test_two_of_four_stay_through_a_training(compress):
    draft = compress(build_net(), method="nm_pruning", skip=["stem"], finetune={"epochs": 2})
    for name in ("blocks.0.conv1", "blocks.1.conv2", "head"):
        weight = draft.model.get_submodule(name).weight.detach().movedim(1, -1).reshape(-1, 4)
        assert ((weight != 0).sum(dim=1) <= 2).all()
        assert (weight != 0).any()
    assert (draft.model.stem.weight != 0).all()


def test_a_layer_that_does_not_divide_is_named_and_nothing_changes(compress):
    net = build_net()
    with pytest.raises(ToolchainError, match=r"inputs of stem\n.*found 3") as caught:
        compress(net, method="nm_pruning", layers=["stem", "head"])
    assert caught.value.code is ExitCode.USAGE
    assert 'skip = ["stem"]' in str(caught.value)
    assert (net.head.weight != 0).all()


def test_without_names_it_is_left_as_it_is_and_said(compress):
    draft = compress(build_net(), method="nm_pruning")
    assert (draft.model.stem.weight != 0).all()
    assert int((draft.model.head.weight == 0).sum()) == draft.model.head.weight.numel() // 2
    assert draft.notes == ("nm_pruning leaves stem as they are: 4 does not divide their input channels",)


def test_keeping_all_of_them_is_refused(compress):
    with pytest.raises(ToolchainError, match="remove nothing"):
        compress(build_net(), method="nm_pruning", n=4, m=4)
