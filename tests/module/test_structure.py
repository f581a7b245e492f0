"""A compressed model's weights file brings its builder's model into shape."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.compress.conftest import build_net, material
from toolchain.compress import Draft
from toolchain.compress.quantization.batch_norm import fold_batch_norms
from toolchain.errors import ExitCode, ToolchainError
from toolchain.module.structure import SetGroups, fit_shapes
from toolchain.module.weights import load_weights, save_weights

__all__ = ["material"]


def reload(draft, path):
    save_weights(draft.model, path, {}, edits=draft.edits)
    fresh = build_net(seed=9)
    load_weights(fresh, path)
    return fresh.eval()


def test_folded_batch_norms_and_removed_blocks_come_back(material, tmp_path):
    draft, pictures = Draft(build_net()), torch.rand(2, 3, 8, 8)
    fold_batch_norms(draft, material, method="test")
    draft.remove("blocks.1")
    fresh = reload(draft, tmp_path / "w.safetensors")
    assert isinstance(fresh.blocks[1], nn.Identity)
    assert torch.equal(fresh(pictures), draft.model(pictures))


def test_fewer_channels_come_back(tmp_path):
    draft, pictures = Draft(build_net()), torch.rand(2, 3, 8, 8)
    block = draft.model.blocks[0]
    keep = [0, 2, 5]
    fit_shapes(block, {"conv1.weight": torch.zeros(3, 16, 3, 3), "conv2.weight": torch.zeros(16, 3, 3, 3)})
    fit_shapes(block, {f"bn1.{key}": torch.zeros(3) for key in ("weight", "bias", "running_mean", "running_var")})
    source = build_net().blocks[0]
    block.conv1.weight.data = source.conv1.weight.data[keep]
    block.conv2.weight.data = source.conv2.weight.data[:, keep]
    for key in ("weight", "bias", "running_mean", "running_var"):
        getattr(block.bn1, key).data = getattr(source.bn1, key).data[keep]
    fresh = reload(draft, tmp_path / "w.safetensors")
    assert (fresh.blocks[0].conv1.out_channels, fresh.blocks[0].conv2.in_channels) == (3, 3)
    assert torch.equal(fresh(pictures), draft.model(pictures))


def test_a_grouped_convolution_that_lost_groups_comes_back(tmp_path):
    def build():
        return nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))

    draft = Draft(build())
    fit_shapes(draft.model, {"0.weight": torch.zeros(3, 1, 3, 3), "0.bias": torch.zeros(3)})
    draft.set_groups("0", 3)
    fit_shapes(draft.model, {"0.weight": torch.zeros(3, 1, 3, 3), "1.weight": torch.zeros(2, 3, 1, 1)})
    draft.model[0].in_channels = 3
    for parameter in draft.model.parameters():
        nn.init.normal_(parameter) if parameter.ndim > 1 else nn.init.zeros_(parameter)
    path = tmp_path / "w.safetensors"
    save_weights(draft.model, path, {}, edits=draft.edits)
    fresh = build()
    assert load_weights(fresh, path) == [SetGroups(module="0", groups=3)]
    pictures = torch.rand(1, 3, 8, 8)
    assert torch.equal(fresh(pictures), draft.model(pictures))


def test_other_shapes_without_a_structure_stay_an_error(tmp_path):
    narrow = build_net(channels=8)
    save_weights(narrow, tmp_path / "w.safetensors", {})
    with pytest.raises(ToolchainError, match="shapes or types differ"):
        load_weights(build_net(), tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ('[{"edit": "magic", "module": "stem"}]', "structure of the compressed model is corrupt"),
        ("{", "structure of the compressed model is corrupt"),
        ('[{"edit": "identity", "module": "layer9"}]', "of another model"),
    ],
)
def test_a_wrong_structure_is_malformed(tmp_path, edits, said):
    path = tmp_path / "w.safetensors"
    save_file(build_net().state_dict(), path, metadata={"edge_toolchain.edits": edits})
    with pytest.raises(ToolchainError, match=said) as caught:
        load_weights(build_net(), path)
    assert caught.value.code is ExitCode.MALFORMED
