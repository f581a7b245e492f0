import pytest
import torch
from torch import nn

from tests.compress.networks import NETWORKS, multiply_out
from toolchain.compress.pruning.macs import count_macs


@pytest.mark.parametrize("name", ["small", "resnet8", "mobilenet_v2", "mlp"])
def test_macs_are_what_the_shapes_say(name):
    model, pictures = NETWORKS[name](), torch.rand(2, 3, 8, 8)
    assert count_macs(model, (pictures,)) == multiply_out(model, pictures)


def test_attention_counts_with_its_projections_and_its_products():
    attention = nn.MultiheadAttention(16, 2, batch_first=True)

    class Self(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = attention

        def forward(self, x):
            return self.attention(x, x, x, need_weights=False)[0]

    tokens, width = 5, 16
    projections, products = 4 * tokens * width * width, 2 * tokens * tokens * width
    assert count_macs(Self(), (torch.rand(1, tokens, width),)) == projections + products


@pytest.mark.parametrize(("kind", "gates"), [(nn.GRU, 3), (nn.LSTM, 4), (nn.RNN, 1)])
def test_recurrent_layers_count_as_their_products(kind, gates):
    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            self.sequence = kind(16, 8, batch_first=True, bidirectional=True)

        def forward(self, x):
            return self.sequence(x)[0]

    steps = 5
    assert count_macs(Read(), (torch.rand(1, steps, 16),)) == 2 * steps * gates * (16 * 8 + 8 * 8)
