import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.compress.conftest import build_net
from toolchain.compress.methods.gradual_pruning import GradualHook, Options, find_level
from toolchain.errors import ExitCode, ToolchainError

TRAINING = {"epochs": 3, "batch_size": 8}


def test_the_curve_is_that_of_zhu_and_gupta():
    options = Options(amount=0.8, start=0.2, begin=0.25, end=0.75)
    done = np.array([0.25, 0.375, 0.5, 0.625, 0.75])
    # s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (n Δt))^3, equation 1
    expected = 0.8 + (0.2 - 0.8) * (1 - (done - 0.25) / 0.5) ** 3
    np.testing.assert_allclose([find_level(options, value) for value in done], expected)
    assert find_level(options, 0.2) == 0
    assert find_level(options, 0.99) == pytest.approx(0.8)


@given(st.lists(st.floats(0, 0.999), min_size=2), st.floats(0.1, 0.9))
def test_the_curve_never_falls(times, amount):
    levels = [find_level(Options(amount=amount, begin=0.1), done) for done in sorted(times)]
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(levels))
    assert all(0 <= level <= amount for level in levels)


def test_no_step_brings_a_pruned_weight_back():
    weight = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    hook = GradualHook([weight], Options(amount=0.5))
    before = torch.zeros(1000, dtype=torch.bool)
    for step in range(20):
        hook.before_step(step / 20)
        zeros = weight == 0
        assert zeros[before].all()
        weight += 1.0  # what an optimizer may do
        hook.after_step(0.1)
        assert torch.equal(weight == 0, zeros)
        before = zeros
    assert before.sum() == 500


def test_nothing_is_pruned_before_the_curve_begins():
    weight = torch.randn(100, generator=torch.Generator().manual_seed(0))
    GradualHook([weight], Options(amount=0.5, begin=0.5)).before_step(0.4)
    assert (weight != 0).all()


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_share_is_reached_and_stays(compress, scope):
    draft = compress(build_net(), method="gradual_pruning", amount=0.7, scope=scope, finetune=TRAINING)
    layers = [draft.model.stem, *(getattr(b, c) for b in draft.model.blocks for c in ("conv1", "conv2"))]
    weights = [layer.weight for layer in [*layers, draft.model.head]]
    share = np.mean(np.concatenate([(weight == 0).numpy().ravel() for weight in weights]))
    assert share == pytest.approx(0.7, abs=0.002)
    if scope == "layer":
        assert all((weight == 0).float().mean().item() == pytest.approx(0.7, abs=0.03) for weight in weights)
    assert sorted(draft.list_zero_keepers()) == sorted(
        ["stem", "head", *(f"blocks.{i}.conv{j}" for i in (0, 1) for j in (1, 2))]
    )


def test_a_threshold_rises_as_well(compress):
    draft = compress(build_net(), method="gradual_pruning", threshold=0.03, finetune=TRAINING)
    weight = draft.model.blocks[0].conv1.weight.detach()
    assert (weight == 0).any()
    assert weight[weight != 0].abs().min() > 0.03


def test_a_resumed_training_ends_as_one_that_never_stopped(compress, material, monkeypatch):
    whole = compress(build_net(), method="gradual_pruning", amount=0.6, finetune=TRAINING)
    for path in material.folder.iterdir():
        path.unlink()

    steps = []

    def stop(self, learning_rate, original=GradualHook.after_step):
        original(self, learning_rate)
        steps.append(learning_rate)
        if len(steps) == 12:  # in the second of three epochs of 8 steps
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GradualHook, "after_step", stop)
        with pytest.raises(KeyboardInterrupt):
            compress(build_net(), method="gradual_pruning", amount=0.6, finetune=TRAINING)
    again = compress(build_net(), method="gradual_pruning", amount=0.6, finetune=TRAINING)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "either amount or threshold"),
        ({"amount": 0.5, "threshold": 0.1}, "either amount or threshold"),
        ({"amount": 1.2}, "less than 1"),
        ({"amount": 0.5, "start": 0.6}, "does not rise"),
        ({"amount": 0.5, "begin": 0.8}, "ends before it begins"),
    ],
)
def test_wrong_options_are_refused(compress, options, said):
    with pytest.raises(ToolchainError, match=said) as caught:
        compress(build_net(), method="gradual_pruning", finetune=TRAINING, **options)
    assert caught.value.code is ExitCode.USAGE


def test_a_threshold_that_leaves_nothing_of_a_layer_names_it(compress):
    with pytest.raises(ToolchainError, match="leaves nothing of stem"):
        compress(build_net(), method="gradual_pruning", threshold=5.0, finetune={"epochs": 1})


def test_it_does_not_run_without_a_training(compress):
    with pytest.raises(ToolchainError, match="does not say how long"):
        compress(build_net(), method="gradual_pruning", amount=0.5)
