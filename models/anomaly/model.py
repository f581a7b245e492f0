"""The autoencoder of MLPerf Tiny's anomaly detection (Banbury et al., 2021, arXiv:2106.07597), narrower."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


def build(*, values: int = 640, hidden: int = 96, code: int = 8) -> nn.Module:
    """Return an untrained autoencoder of `(N, values)`. MLPerf's has 128 in place of 96, which is 1.07 MB."""
    return Autoencoder(values, hidden, code)


class Autoencoder(nn.Module):
    """Four layers down to a code of a few numbers, four up again."""

    def __init__(self, values: int, hidden: int, code: int) -> None:
        super().__init__()
        widths = [values, *[hidden] * 4, code, *[hidden] * 4]
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out, bias=False), nn.BatchNorm1d(width_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, values))

    def forward(self, x: Tensor) -> Tensor:
        """Return what is left of the input after it went through the code, `(N, values)`."""
        rebuilt: Tensor = self.layers(x)
        return rebuilt
