"""A multilayer perceptron on the columns of a table."""

from __future__ import annotations

from torch import Tensor, nn


def build(*, columns: int = 10, hidden: int = 64, dropout: float = 0.3) -> nn.Module:
    """Return an untrained network of two hidden layers, `(N, columns)` to `(N, 1)`."""
    return Perceptron(columns, hidden, dropout)


class Perceptron(nn.Module):
    """Two hidden layers; dropout between them, because tables are short."""

    def __init__(self, columns: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(columns, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the value of each row `(N, 1)`."""
        values: Tensor = self.layers(x)
        return values
