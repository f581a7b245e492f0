"""The quantization methods on the models that the project promises them for."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from tests.compress.conftest import make_samples
from toolchain.module.builder import build_model
from toolchain.project.recipe import read_recipe

RESNET8 = Path(__file__).parents[2] / "models" / "resnet8" / "recipe.toml"

METHODS = [
    {"method": "linear_quantization", "bits": 4},
    {"method": "kmeans_quantization", "bits": 4},
    {"method": "mixed_precision", "size_ratio": 0.2, "bits": [3, 6], "samples": 4},
]


class SmallTransformer(nn.Module):
    """Patches of 2x2, one encoder layer, the mean: pictures (N, 3, 8, 8) to logits (N, 2)."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 2, stride=2)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.encoder(self.patches(x).flatten(2).transpose(1, 2)).mean(dim=1))


def build_small_mobilenet():
    return torchvision.models.mobilenet_v2(width_mult=0.1, num_classes=2)


@pytest.mark.parametrize("entry", METHODS, ids=lambda entry: entry["method"])
@pytest.mark.parametrize(
    "build",
    [lambda: build_model(read_recipe(RESNET8)), build_small_mobilenet, SmallTransformer],
    ids=["resnet8", "mobilenet_v2", "transformer"],
)
def test_every_layer_is_quantized_and_the_model_still_answers(compress, build, entry):
    torch.manual_seed(0)
    model = build().eval()
    pictures = torch.from_numpy(make_samples(4).batch(0, 4)["input"])
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    before = model(pictures)
    draft = compress(model, **entry)
    assert draft.list_fixed() == layers
    bits = {edit.module: edit.bits for edit in draft.edits if edit.edit == "fixed"}
    for name in layers:
        for channel in draft.model.get_submodule(name).weight:
            assert len(torch.unique(channel)) <= 2 ** bits[name]
    after = draft.model(pictures)
    assert after.shape == before.shape
    assert bool(torch.isfinite(after).all())
    assert not torch.equal(after, before)
