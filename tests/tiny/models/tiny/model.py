"""A net of two convolutions that tells four patterns apart, for the tests of the commands."""

from torch import nn


def build(*, channels: int = 8, classes: int = 4) -> nn.Module:
    """Return an untrained net for pictures `(N, 3, 8, 8)`."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * channels, classes),
    )
