import pytest
import torch

from tests.compress.conftest import build_net, make_samples
from tests.objectives import make_scoring
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.fit import measure_metric, start_accelerator


def read_bits(draft):
    return {edit.module: edit.bits for edit in draft.edits if edit.edit == "fixed"}


def measure_size(draft, overhead):
    weights = {name: draft.model.get_submodule(name).weight for name in read_bits(draft)}
    taken = sum(bits * weights[name].numel() + overhead(bits, weights[name]) for name, bits in read_bits(draft).items())
    return taken / sum(32 * weight.numel() for weight in weights.values())


def make_sensitive_net():
    """A net in which the branch of the second block hardly matters."""
    net = build_net()
    net.blocks[1].bn2.weight.data *= 1e-3
    return net


@pytest.mark.parametrize("scheme", ["linear", "kmeans"])
def test_the_size_is_within_the_budget_and_the_layers_that_matter_least_have_the_fewest_bits(compress, scheme):
    draft = compress(make_sensitive_net(), method="mixed_precision", size_ratio=0.16, scheme=scheme, samples=16)
    bits = read_bits(draft)
    weak = {"blocks.1.conv1", "blocks.1.conv2"}
    assert max(bits[name] for name in weak) < min(bits[name] for name in bits.keys() - weak)
    overhead = (lambda b, w: 32 * 2**b) if scheme == "kmeans" else (lambda b, w: 32 * w.shape[0])
    assert measure_size(draft, overhead) <= 0.16
    for name, count in bits.items():
        for channel in draft.model.get_submodule(name).weight:
            assert len(torch.unique(channel)) <= 2**count


def test_a_budget_for_all_takes_the_most_bits(compress):
    assert set(read_bits(compress(build_net(), method="mixed_precision", size_ratio=0.9, samples=16)).values()) == {8}


def test_only_the_bits_that_are_listed_are_chosen(compress):
    draft = compress(build_net(), method="mixed_precision", size_ratio=0.2, bits=[3, 5], samples=16)
    assert set(read_bits(draft).values()) <= {3, 5}


def test_a_drop_that_is_allowed_is_held_with_fewer_bits(compress):
    samples = make_samples()
    net = build_net()
    before = measure_metric(net, samples, scoring=make_scoring(), accelerator=start_accelerator())
    draft = compress(net, method="mixed_precision", drop_max=0.05, samples=16)
    after = measure_metric(draft.model, samples, scoring=make_scoring(), accelerator=start_accelerator())
    assert before - after <= 0.05
    assert min(read_bits(draft).values()) < 8


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "exactly one"),
        ({"size_ratio": 0.5, "drop_max": 0.1}, "exactly one"),
        ({"size_ratio": 1.5}, "size_ratio"),
        ({"size_ratio": 0.5, "bits": [1, 4]}, "bits"),
        ({"size_ratio": 0.5, "bits": []}, "bits"),
        ({"size_ratio": 0.01}, "out of reach"),
        ({"size_ratio": 0.5, "layers": ["nothing"]}, "matches nothing"),
    ],
)
def test_a_budget_that_is_wrong_or_out_of_reach_is_refused(compress, options, problem):
    with pytest.raises(ToolchainError, match=problem) as caught:
        compress(build_net(), method="mixed_precision", **options)
    assert caught.value.code is ExitCode.USAGE
