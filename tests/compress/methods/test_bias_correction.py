import copy
import dataclasses

import pytest
import torch
from torch import nn

from tests.compress.conftest import build_net, make_samples
from tests.compress.nets import AttentionNet, build_mobilenet, build_resnet8, build_transformer, enlarge
from toolchain.compress import Draft, compress_draft
from toolchain.compress.quantization.batch_norm import fold_batch_norms
from toolchain.compress.quantization.fake_quantization import round_weight
from toolchain.errors import ExitCode, ToolchainError


def round_layers(model, bits, *, per_channel):
    """Return a copy of the model with the weights of its layers rounded."""
    rounded = copy.deepcopy(model)
    for module in rounded.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data = round_weight(module.weight.detach(), bits, per_channel=per_channel)
    return rounded


def spoil_ranges(net, seed=0):
    """Make a few channels of every convolution a hundred times as wide: one scale for all is then a bad one."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data[:: max(2, module.weight.shape[0] // 2)] *= 30
            module.weight.data += 0.3 * module.weight.data.std() * torch.rand(1, generator=generator)
    return net


def measure_shift(expected, outputs):
    """Return the norm of the error of the mean output."""
    return (outputs.mean(0) - expected.mean(0)).norm().item()


@pytest.mark.parametrize(
    ("build", "factor"), [(build_resnet8, 4), (build_mobilenet, 4), (build_transformer, 1), (build_net, 1)]
)
@torch.no_grad()
def test_the_mean_of_the_outputs_is_won_back(material, build, factor):
    samples = enlarge(make_samples(), factor)
    pictures = torch.from_numpy(samples.batch(0, 64)["input"])
    draft, plain = Draft(spoil_ranges(build())), Draft(spoil_ranges(build()))
    fold_batch_norms(plain, material, method="test")
    expected = plain.model(pictures)
    entry = {"method": "bias_correction", "bits": 6, "per_channel": False}
    with torch.enable_grad():
        compress_draft(draft, entry, dataclasses.replace(material, calibration=samples))
    before = measure_shift(expected, round_layers(plain.model, 6, per_channel=False)(pictures))
    after = measure_shift(expected, round_layers(draft.model, 6, per_channel=False)(pictures))
    assert after < 0.05 * before
    for name, module in draft.model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert torch.equal(module.weight, plain.model.get_submodule(name).weight), name


def test_a_layer_gets_the_shift_of_its_mean_as_bias(compress, material):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Flatten(), nn.Linear(4 * 36, 2))
    weight = net[0].weight.detach().clone()
    draft = compress(net, method="bias_correction", bits=4, layers=["0"])
    # By the linearity of a convolution: the error of the weight, applied to the mean picture.
    mean = material.inputs(64)[0].mean(0, keepdim=True)
    shift = torch.nn.functional.conv2d(mean, weight - round_weight(weight, 4)).mean(dim=(0, 2, 3))
    torch.testing.assert_close(draft.model[0].bias.detach(), shift, rtol=1e-3, atol=1e-6)
    assert [edit.module for edit in draft.edits] == ["0"]


def test_weights_that_rounding_does_not_change_get_no_correction(compress):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    net[0].weight.data = round_weight(net[0].weight.detach(), 8)
    before = net[0].bias.detach().clone()
    draft = compress(net, method="bias_correction")
    torch.testing.assert_close(draft.model[0].bias.detach(), before, rtol=0, atol=1e-5)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.conv(self.conv(x))


@pytest.mark.parametrize(("net", "layer"), [(AttentionNet(), "attention.out_proj"), (Shared(), "conv")])
def test_a_layer_that_is_not_called_once_is_refused_by_name(compress, net, layer):
    with pytest.raises(ToolchainError, match=layer) as caught:
        compress(net, method="bias_correction")
    assert caught.value.code is ExitCode.USAGE
