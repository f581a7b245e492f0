"""A net with everything that pruning takes: batch normalization, a shortcut, a fully connected layer."""

from torch import nn


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        """Return features of the input's shape."""
        return (x + self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))).relu()


def build(*, channels: int = 16, classes: int = 4) -> nn.Module:
    """Return an untrained net for pictures `(N, 3, 8, 8)`."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()),
        Block(channels),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 16),
        nn.ReLU(),
        nn.Linear(16, classes),
    )
