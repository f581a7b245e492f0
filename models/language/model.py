"""A small transformer encoder (Vaswani et al. 2017, arXiv:1706.03762) that tells the language of a text by its letters."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def build(
    *, letters: int = 80, length: int = 64, width: int = 48, heads: int = 4, layers: int = 2, languages: int = 7
) -> nn.Module:
    """Return an untrained encoder of tokens `(N, length)` and a mask of them, to scores `(N, languages)`."""
    return Encoder(letters, length, width, heads, layers, languages)


class Encoder(nn.Module):
    """Layers over letters and their places, and the mean over the letters that are there."""

    def __init__(self, letters: int, length: int, width: int, heads: int, layers: int, languages: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(letters, width)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.dropout = nn.Dropout(0.1)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, languages)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the scores of texts of tokens, int64 `(N, length)`; mask: float `(N, length)`, 1 where one is."""
        x = self.dropout(self.letters(tokens) + self.places)
        # Large enough to leave no weight after softmax; int8 and float16 can say it.
        penalty = (mask[:, None, None, :] - 1) * 30
        for layer in self.layers:
            x = layer(x, penalty)
        counts = mask.sum(dim=1, keepdim=True).clamp(min=1)
        mean = (self.norm(x) * mask[:, :, None]).sum(dim=1) / counts
        scores: Tensor = self.classifier(mean)
        return scores


class Layer(nn.Module):
    """Attention and two linear layers, each normalized before and added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, penalty: Tensor) -> Tensor:
        """Return the tokens `(N, length, width)`; penalty: what is added to the scores of attention."""
        count, length, width = x.shape
        parts = self.project(self.norm1(x)).reshape(count, length, 3, self.heads, width // self.heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4).unbind(0)
        scores = queries @ keys.transpose(2, 3) / (width // self.heads) ** 0.5
        found = (scores + penalty).softmax(dim=3) @ values
        x = x + self.join(found.transpose(1, 2).reshape(count, length, width))
        refined: Tensor = x + self.narrow(self.widen(self.norm2(x)).relu())
        return refined
