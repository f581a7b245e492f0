"""Pruning by masks on the networks that every method is tried on: what is zero is zero in the weights file too."""

import pytest
import torch

from tests.compress.networks import NETWORKS, assert_reloads
from toolchain.errors import ToolchainError

PICTURES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["resnet8", "mobilenet_v2", "transformer"])
def test_half_of_the_weights_by_magnitude(compress, tmp_path, name):
    build = NETWORKS[name]
    draft = compress(
        build(), method="magnitude_pruning", amount=0.5, finetune={"epochs": 1, "batch_size": 8, "learning_rate": 0.001}
    )
    layers = [module for module in draft.model.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)]
    weights = torch.cat([layer.weight.detach().flatten() for layer in layers])
    assert (weights == 0).float().mean().item() == pytest.approx(0.5, abs=0.001)
    assert draft.model.eval()(PICTURES).shape == build()(PICTURES).shape
    assert_reloads(draft, build, tmp_path)


@pytest.mark.parametrize(
    ("name", "skip", "pruned"),
    [
        ("resnet8", ["stem.*"], "classifier"),
        ("mobilenet_v2", ["features.0.0", "features.1.conv.0.0", "features.*.conv.1.0"], "classifier.1"),
        ("transformer", ["embed"], "layers.0.mlp.0"),
    ],
)
def test_two_of_four(compress, tmp_path, name, skip, pruned):
    build = NETWORKS[name]
    draft = compress(build(), method="nm_pruning", skip=skip, finetune={"epochs": 1, "batch_size": 8})
    groups = draft.model.get_submodule(pruned).weight.detach().reshape(-1, 4)
    assert ((groups != 0).sum(dim=1) == 2).all()
    assert_reloads(draft, build, tmp_path)


def test_two_of_four_refuses_a_depthwise_layer_where_it_is_named_and_else_leaves_it(compress):
    with pytest.raises(ToolchainError, match=r"the inputs of features\.1\.conv\.0\.0, features\.2\.conv\.1\.0"):
        compress(NETWORKS["mobilenet_v2"](), method="nm_pruning", layers=["features.*"], skip=["features.0.0"])
    draft = compress(NETWORKS["mobilenet_v2"](), method="nm_pruning")
    assert (draft.model.get_submodule("features.1.conv.0.0").weight != 0).all()
    assert "features.0.0, features.1.conv.0.0" in draft.notes[0]
