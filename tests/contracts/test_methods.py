"""Every method on every odd net: it does what it claims and comes back from its file, or says where and what to do."""

import re
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch

from tests.compress.odd_nets import ODD_NETS, build_odd_net, make_odd_samples
from tests.contracts.outside import write_plugin
from toolchain.compress import Draft, FinetuneSection, Reach, compress_draft
from toolchain.compress.layers import list_weights
from toolchain.compress.outputs import run_model
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.structure import FixWeights, KeepZeros, LearnedRange
from toolchain.module.weights import load_weights, save_weights
from toolchain.project.members import list_members
from toolchain.project.seams import METHODS

_TRAINING = {"epochs": 1, "batch_size": 16, "learning_rate": 0.1}  # two steps: the first of a cycle hardly moves

ENTRIES = {
    "magnitude_pruning": {"amount": 0.5},
    "nm_pruning": {},
    "gradual_pruning": {"amount": 0.5, "scope": "layer", "finetune": _TRAINING},
    "linear_quantization": {"bits": 4},
    "kmeans_quantization": {"bits": 4},
    "mixed_precision": {"size_ratio": 0.25, "samples": 8},
    "equalization": {},
    "bias_correction": {"bits": 4},
    "structured_pruning": {"amount": 0.5},
    "channel_sparsity": {"sparsify": _TRAINING, "amount_min": 0.3},
    "group_sparsity": {"sparsify": _TRAINING, "neurons": True, "amount_min": 0.3},
    "qat": {"finetune": _TRAINING},
    "distillation": {"teacher": "itself", "finetune": _TRAINING},
}

# What no change of the entry's `skip` makes possible, and the words that say why. Everything else has to work.
_CANNOT = {
    "cannot follow the model's forward": {
        "linear_quantization": ("branching",),
        "kmeans_quantization": ("branching",),
        "mixed_precision": ("branching",),
        "bias_correction": ("branching",),
        "equalization": ("branching",),
        "qat": ("branching",),
    },
    "weights are frozen": {
        "gradual_pruning": ("all_frozen",),
        "qat": ("all_frozen",),
        "distillation": ("all_frozen",),
    },
    "finds no pair of layers": {
        "equalization": (
            "conv1d", "transposed", "two_inputs", "shared_module", "tied_weight", "lstm", "attention", "keyword_block",
            "hard_swish",
        ),
    },
    "finds no channels to remove": {
        "structured_pruning": ("tied_weight", "lstm", "attention"),
        "channel_sparsity": (
            "transposed", "two_inputs", "frozen_stem", "shared_module", "tied_weight", "lstm", "attention",
            "group_norm", "no_norm", "keyword_block", "residual", "all_frozen",
        ),
        "group_sparsity": (
            "conv1d", "transposed", "two_inputs", "dict_output", "tuple_output", "nested_output", "frozen_stem",
            "shared_module", "tied_weight", "lstm", "attention", "keyword_block", "branching", "residual", "hard_swish",
            "all_frozen",
        ),
    },
}  # fmt: skip
REFUSED = {(net, method): text for text, methods in _CANNOT.items() for method, nets in methods.items() for net in nets}


class Done(NamedTuple):
    draft: Draft
    reach: Reach
    entry: dict


@pytest.fixture
def run(material, tmp_path):
    """Return a function that applies a method to an odd net as its refusals advise, until it works or nothing helps."""

    def run(net, method):
        samples = make_odd_samples(net)
        entry = {"method": method, **ENTRIES.get(method, {})}
        finetune = FinetuneSection(**entry["finetune"]) if "finetune" in entry else None
        for attempt in range(4):
            folder = tmp_path / str(attempt)
            folder.mkdir()
            own = replace(
                material,
                calibration=samples,
                load_training=lambda: samples,
                load_teacher=lambda name: build_odd_net(net),
                finetune=finetune,
                folder=folder,
                crop_padding=1,
            )
            draft = Draft(build_odd_net(net))
            try:
                return Done(draft, compress_draft(draft, entry, own), entry)
            except ToolchainError as error:
                advised = read_advice(error)
                if not set(advised) - set(entry.get("skip", [])):
                    raise
                entry = {**entry, "skip": [*entry.get("skip", []), *advised]}
        return None

    return run


def read_advice(error):
    """Return the layers that a refusal advises to skip; it always says where and what to do."""
    assert (error.code, bool(error.where), bool(error.fix)) == (ExitCode.USAGE, True, True), str(error)
    return re.findall(r'"([^"]+)"', error.fix) if "skip" in error.fix else []


def test_every_method_is_tried():
    members = list_members(METHODS)
    ours = {name for name, member in members.items() if member.is_ours}
    assert ours <= ENTRIES.keys() <= members.keys()


# Weights that are computed become plain ones before any method; one kind of them says that for an export of seconds.
_SAME_BEHIND_WEIGHT_NORM = {
    "spectral_norm", "orthogonal", "old_weight_norm", "old_spectral_norm", "pruned_by_torch", "own_parametrization"
}  # fmt: skip
CELLS = [
    (net, method)
    for net in ODD_NETS
    for method in list_members(METHODS)
    if method != "qat" or net not in _SAME_BEHIND_WEIGHT_NORM
]


@pytest.mark.parametrize(("net", "method"), CELLS)
def test_a_method_keeps_its_word_or_says_why_not(run, tmp_path, net, method):
    if (net, method) in REFUSED:
        with pytest.raises(ToolchainError, match=REFUSED[net, method]):
            run(net, method)
        return
    before = build_odd_net(net)
    draft, reach, entry = run(net, method)
    assert_kept(method, entry, before, draft, reach)
    assert_comes_back(net, draft, tmp_path / "weights.safetensors")
    assert_frozen_stays_frozen(before, draft)


def assert_kept(method, entry, before, draft, reach):
    """What the method claims is true of the model that is there now."""
    assert 0 < reach.share <= 1
    assert reach.share + reach.skipped_share + sum(own.share for own in reach.unreached) == pytest.approx(1)
    layers = {edit.module for edit in draft.edits if isinstance(edit, KeepZeros | FixWeights)}
    weights = [draft.model.get_submodule(name).weight.detach() for name in layers]
    count = sum(parameter.numel() for parameter in draft.model.parameters())
    count_before = sum(parameter.numel() for parameter in before.parameters())
    if method in ("magnitude_pruning", "nm_pruning", "gradual_pruning"):
        zeros = sum(int((weight == 0).sum()) for weight in weights)
        assert zeros >= 0.49 * sum(weight.numel() for weight in weights) > 0
    elif method in ("linear_quantization", "mixed_precision"):
        assert weights
        assert all(len(row.unique()) <= 2 ** entry.get("bits", 8) for weight in weights for row in weight)
    elif method == "kmeans_quantization":
        assert weights
        assert all(len(weight.unique()) <= 16 for weight in weights)
    elif method in ("structured_pruning", "channel_sparsity", "group_sparsity"):
        assert count < count_before
    elif method == "qat":
        assert any(isinstance(edit, LearnedRange) for edit in draft.edits)
        assert all(len(row.unique()) <= 255 for weight in weights for row in weight)
    else:  # equalization, bias_correction, distillation: it moves numbers
        own, new = dict(before.named_parameters()), dict(draft.model.named_parameters())
        assert any(name not in own or not torch.equal(own[name], new[name]) for name in new)


def assert_comes_back(net, draft, path):
    """The file alone brings the builder's net to the same outputs."""
    save_weights(draft.model, path, {}, edits=draft.edits)
    fresh = build_odd_net(net)
    load_weights(fresh, path)
    samples = tuple(torch.from_numpy(array) for array in make_odd_samples(net).batch(0, 4).values())
    expected, found = run_model(draft.model, samples), run_model(fresh, samples)
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6)
    ties = [len(list_weights(model)) for model in (draft.model, fresh)]
    assert ties[0] == ties[1]


def assert_frozen_stays_frozen(before, draft):
    frozen = {name.rpartition(".")[0] for name, own in before.named_parameters() if not own.requires_grad}
    free = {name.rpartition(".")[0] for name, own in before.named_parameters() if own.requires_grad}
    for name, parameter in draft.model.named_parameters():
        if name.rpartition(".")[0] in frozen - free:
            assert not parameter.requires_grad, name


_METHOD = """
from toolchain.compress.layers import LayerOptions, select_weighted

SUMMARY = "halve the weights"
TRAINS = False
Options = LayerOptions


def apply(draft, options, material):
    layers = select_weighted(draft.model, options, method="outside")
    for layer in layers.values():
        if layer.weight.requires_grad:
            layer.weight.data.mul_(0.5)
    {more}
    return layers
"""
_KEEPS = "pass"
_CHANGES_NOTHING = "[layer.weight.data.mul_(2.0) for layer in layers.values() if layer.weight.requires_grad]"
_IS_NOT_IN_THE_FILE = "draft.model.register_forward_hook(lambda model, inputs, output: output * 3.0)"
_THAWS = "[layer.requires_grad_(True) for layer in layers.values()]"


def check_outside(run, plugins, tmp_path, more):
    write_plugin(plugins, "methods", "outside", _METHOD.replace("{more}", more))
    draft, reach, entry = run("frozen_stem", "outside")
    before = build_odd_net("frozen_stem")
    assert_kept("outside", entry, before, draft, reach)
    assert_comes_back("frozen_stem", draft, tmp_path / "weights.safetensors")
    assert_frozen_stays_frozen(before, draft)


def test_one_from_outside_keeps_its_word(run, plugins, tmp_path):
    check_outside(run, plugins, tmp_path, _KEEPS)


@pytest.mark.parametrize(
    ("more", "error"),
    [(_CHANGES_NOTHING, ToolchainError), (_IS_NOT_IN_THE_FILE, AssertionError), (_THAWS, AssertionError)],
)
def test_one_that_does_not_is_caught(run, plugins, tmp_path, more, error):
    with pytest.raises(error):
        check_outside(run, plugins, tmp_path, more)
