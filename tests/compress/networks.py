"""The networks that every method is tried on, and what is known of them without the toolchain's own code."""

import torch
from torch import nn
from torchvision.models import mobilenet_v2

from tests.compress.conftest import build_net
from toolchain.module.builder import build_model
from toolchain.module.weights import load_weights, save_weights
from toolchain.project.find import find_recipe


class EncoderLayer(nn.Module):
    """A transformer's layer with the normalization before each step."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """Patches of 4x4, two layers, classifier: pictures (N, 3, 8, 8) to logits (N, 2)."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, stride=4)
        self.layers = nn.Sequential(EncoderLayer(16, 2, 32), EncoderLayer(16, 2, 32))
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(self.layers(self.embed(x).flatten(2).transpose(1, 2)).mean(dim=1))


class Mlp(nn.Module):
    """A convolution and three fully connected layers, one with a batch normalization."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2)
        self.fc1, self.norm = nn.Linear(72, 32), nn.BatchNorm1d(32)
        self.fc2 = nn.Linear(32, 24)
        self.head = nn.Linear(24, 2)

    def forward(self, x):
        x = torch.relu(self.conv(x)).flatten(1)
        x = torch.relu(self.norm(self.fc1(x)))
        return self.head(torch.relu(self.fc2(x)))


class Up(nn.Module):
    """Down and up again, with a shortcut around both."""

    def __init__(self, groups):
        super().__init__()
        self.stem, self.down = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 8, 3, 2, padding=1)
        self.up, self.last = nn.ConvTranspose2d(8, 16, 2, 2, groups=groups), nn.Conv2d(16, 4, 1)

    def forward(self, x):
        x = self.stem(x)
        return self.last(x + self.up(self.down(x)))


def seeded(build):
    def built():
        torch.manual_seed(0)
        return build().eval()

    return built


NETWORKS = {
    "small": build_net,
    "resnet8": seeded(lambda: build_model(find_recipe("resnet8"))),
    "mobilenet_v2": seeded(lambda: mobilenet_v2(width_mult=0.25, num_classes=2)),
    # The first blocks of it alone, for tests that run it many times.
    "short_mobilenet_v2": seeded(
        lambda: mobilenet_v2(
            width_mult=0.25, num_classes=2, inverted_residual_setting=[[1, 64, 1, 1], [6, 96, 2, 2]], round_nearest=4
        )
    ),
    "transformer": seeded(Transformer),
    "mlp": seeded(Mlp),
}
"""Each builds the same untrained network at every call, in evaluation mode, for pictures (N, 3, 8, 8)."""


def assert_reloads(draft, build, path):
    """The weights file alone brings the builder's model to the same outputs."""
    save_weights(draft.model, path / "w.safetensors", {}, edits=draft.edits)
    fresh = build()
    load_weights(fresh, path / "w.safetensors")
    pictures = torch.rand(3, 3, 8, 8)
    torch.testing.assert_close(fresh.eval()(pictures), draft.model.eval()(pictures), rtol=1e-5, atol=1e-6)


def multiply_out(model, pictures):
    """Return the multiply-accumulates of convolutions and linear layers, from their shapes alone."""
    total = 0

    def add(layer, _, output):
        nonlocal total
        outputs_per_unit = output.numel() // (output.shape[1] if isinstance(layer, nn.Conv2d) else output.shape[-1])
        total += layer.weight.numel() * outputs_per_unit

    handles = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    model.eval()(pictures)
    for handle in handles:
        handle.remove()
    return total
