import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toolchain.compress.pruning.channels import ChannelGroup
from toolchain.compress.pruning.units import list_units, merge_units, take_amount, take_until, take_zeros
from toolchain.errors import ToolchainError


def make_group(root, channels, sections=1):
    return ChannelGroup(root, (root,), channels, sections, is_output=False, members=(), dependencies=None)


sizes = st.lists(st.integers(1, 40), min_size=1, max_size=4)


@given(sizes, st.integers(1, 8), st.sampled_from(["global", "layer"]), st.integers(0, 9999), st.floats(0.1, 0.95))
def test_after_every_unit_a_multiple_is_left_and_never_none(channels, round_to, scope, seed, amount_max):
    groups = [make_group(str(index), count) for index, count in enumerate(channels)]
    scores = [torch.from_numpy(np.random.default_rng([seed, count]).random(count)) for count in channels]
    left = {group.root: group.channels for group in groups}
    for unit in list_units(groups, scores, round_to=round_to, amount_max=amount_max, scope=scope):
        left[unit.group.root] -= len(unit.channels)
        assert left[unit.group.root] >= round_to
        assert left[unit.group.root] % round_to == 0
        assert unit.share == pytest.approx(1 - left[unit.group.root] / unit.group.channels)
        assert unit.share <= amount_max + 1e-9


@given(sizes, st.integers(1, 8), st.integers(0, 9999))
def test_the_least_important_of_a_group_go_first(channels, round_to, seed):
    groups = [make_group(str(index), count) for index, count in enumerate(channels)]
    scores = [torch.from_numpy(np.random.default_rng([seed, count]).random(count)) for count in channels]
    units = list_units(groups, scores, round_to=round_to, amount_max=0.9, scope="global")
    assert [unit.score for unit in units] == sorted(unit.score for unit in units)
    removed = merge_units(units)
    for group, score in zip(groups, scores, strict=True):
        gone = removed.get(group.root, [])
        assert sorted(gone) == sorted(np.argsort(score.numpy())[: len(gone)].tolist())


def test_grouped_convolutions_lose_the_same_places_of_every_group():
    group = make_group("a", 16, sections=4)
    score = torch.tensor([9.0, 1, 2, 3] * 4)
    (unit, *_) = list_units([group], [score], round_to=4, amount_max=0.9, scope="global")
    assert unit.channels == (1, 5, 9, 13)


def test_a_layer_narrower_than_the_multiple_loses_nothing():
    assert list_units([make_group("a", 8)], [torch.rand(8)], round_to=8, amount_max=0.9, scope="global") == []


def list_two(scope):
    groups = [make_group("a", 8), make_group("b", 16)]
    scores = [torch.arange(8.0), 100 + torch.arange(16.0)]
    return groups, list_units(groups, scores, round_to=2, amount_max=0.9, scope=scope)


def test_an_amount_is_of_all_channels_or_of_each_group():
    groups, units = list_two("global")
    assert merge_units(take_amount(units, groups, 0.25, "global")) == {"a": [0, 1, 2, 3, 4, 5]}
    groups, units = list_two("layer")
    assert merge_units(take_amount(units, groups, 0.25, "layer")) == {"a": [0, 1], "b": [0, 1, 2, 3]}


@given(st.integers(0, 30))
def test_no_more_is_taken_than_is_needed(needed):
    _, units = list_two("global")
    taken = take_until(units, lambda some: sum(len(unit.channels) for unit in some) >= needed)
    total = sum(len(unit.channels) for unit in units)
    if needed > total:
        assert taken is None
    else:
        assert 2 * len(taken) == needed + needed % 2


def test_zeros_go_and_the_smallest_where_they_are_too_few():
    groups = [make_group("a", 8), make_group("b", 8)]
    scores = [torch.tensor([0.0, 0, 0, 1, 2, 3, 4, 5]), torch.tensor([0.5, 0.6, 7, 7, 7, 7, 7, 7])]
    units = list_units(groups, scores, round_to=2, amount_max=0.9, scope="global")
    assert merge_units(take_zeros(units, groups, 0.0, method="test")) == {"a": [0, 1]}
    assert merge_units(take_zeros(units, groups, 0.3, method="test")) == {"a": [0, 1, 2, 3], "b": [0, 1]}
    with pytest.raises(ToolchainError, match=r"too few channels to remove\n.*at least 16 of 16"):
        take_zeros(units, groups, 0.99, method="test")


def test_where_nothing_is_zero_nothing_goes_silently():
    groups = [make_group("a", 8)]
    units = list_units(groups, [1 + torch.rand(8)], round_to=2, amount_max=0.9, scope="global")
    with pytest.raises(ToolchainError, match="too few channels to remove"):
        take_zeros(units, groups, 0.0, method="test")
