"""A reader of text lines: convolutions and a recurrent layer under CTC (CRNN, Shi et al. 2015, arXiv:1507.05717), small."""

from __future__ import annotations

from torch import Tensor, nn


def build(*, letters: int = 36, hidden: int = 48) -> nn.Module:
    """Return an untrained reader of lines `(N, 1, 24, W)`: `(N, W / 2, 1 + letters)`, the blank's score first."""
    return Reader(letters, hidden)


class Reader(nn.Module):
    """Columns of features by convolutions, a step every two pixels, read in both directions."""

    def __init__(self, letters: int, hidden: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolve(1, 16, kernel=(3, 3), stride=(2, 2)),
            *_convolve(16, 32, kernel=(3, 3), stride=(2, 1)),
            *_convolve(32, 48, kernel=(3, 3), stride=(2, 1)),
            *_convolve(48, 64, kernel=(3, 1), padding=(0, 0)),  # what is left of the height
        )
        self.sequence = nn.GRU(64, hidden, batch_first=True, bidirectional=True)
        self.classifier = nn.Linear(2 * hidden, 1 + letters)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of each step."""
        columns = self.features(x).squeeze(2).transpose(1, 2)
        scores: Tensor = self.classifier(self.sequence(columns)[0])
        return scores


def _convolve(
    channels_in: int,
    channels_out: int,
    *,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (1, 1),
) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]
