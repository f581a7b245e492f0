"""The DS-CNN of MLPerf Tiny's keyword spotting (Banbury et al. 2021, arXiv:2106.07597), with its features in the graph."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATE_HZ = 16_000
# 25 ms every 20 ms: a second has 49 frames, as MLPerf's.
_FRAME, _HOP = 400, 320
# Telephones end where speech is clear without what follows, and so do MLPerf's features.
_LOWEST_HZ, _HIGHEST_HZ = 20.0, 4000.0
_BANDS = 26
# The power of a band that nothing is heard in, of 1 for a full scale: -60 dB, under the noise of 16 bits in a quiet room.
_SILENCE = 1e-6


def build(*, words: int = 12, coefficients: int = 10, width: int = 64, blocks: int = 4) -> nn.Module:
    """Return an untrained spotter of words in a second of sound `(N, 16000)`, to scores `(N, words)`."""
    layers: list[nn.Module] = [*_convolve(1, width, (4, 10), stride=2, padding=(1, 4)), nn.Dropout(0.2)]
    for _ in range(blocks):
        layers += [*_convolve(width, width, (3, 3), padding=(1, 1), groups=width), *_convolve(width, width, (1, 1))]
    head = [nn.Dropout(0.4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, words)]
    return nn.Sequential(Cepstra(coefficients), *layers, *head)


class Cepstra(nn.Module):
    """Mel-frequency cepstral coefficients by convolutions with constants: any runtime has them, and float32 keeps them.

    The constants are computed and no weights: a file of weights is without them.
    """

    def __init__(self, coefficients: int) -> None:
        super().__init__()
        fourier, frequencies_hz = _make_fourier()
        bands = _make_bands(frequencies_hz)
        self.register_buffer("fourier", fourier[:, None], persistent=False)
        self.register_buffer("bands", torch.cat([bands, bands], dim=1)[..., None], persistent=False)
        self.register_buffer("cosines", _make_cosines(coefficients)[..., None], persistent=False)
        self.norm = nn.BatchNorm1d(coefficients, affine=False)

    def forward(self, sound: Tensor) -> Tensor:
        """Return the coefficients of sound `(N, 16000)`, `(N, 1, coefficients, frames)`, about 0 and 1 wide."""
        if torch.is_autocast_enabled(sound.device.type):  # eight bits of bfloat16 are not enough for a power
            with torch.autocast(sound.device.type, enabled=False):
                return self.measure(sound.float())
        return self.measure(sound)

    def measure(self, sound: Tensor) -> Tensor:
        """Return the coefficients, in float32."""
        waves = F.conv1d(sound[:, None], self.get_buffer("fourier"), stride=_HOP)
        power = F.conv1d(waves * waves, self.get_buffer("bands"))
        cepstra: Tensor = self.norm(F.conv1d((power + _SILENCE).log(), self.get_buffer("cosines")))
        return cepstra[:, None]


def _make_fourier() -> tuple[Tensor, Tensor]:
    """Return cosines and sines under Hann's window `(2 * n, 400)`, and their n frequencies in Hz."""
    frequencies_hz = torch.arange(1, _FRAME // 2 + 1, dtype=torch.float64) * RATE_HZ / _FRAME
    frequencies_hz = frequencies_hz[frequencies_hz <= _HIGHEST_HZ]
    angles = 2 * math.pi / RATE_HZ * frequencies_hz[:, None] * torch.arange(_FRAME, dtype=torch.float64)
    window = torch.hann_window(_FRAME, dtype=torch.float64) * 2 / _FRAME
    return (torch.cat([angles.cos(), angles.sin()]) * window).float(), frequencies_hz


def _make_bands(frequencies_hz: Tensor) -> Tensor:
    """Return how much each frequency counts in each mel band, `(26, n)`: triangles, no narrower than a frequency."""
    mel = torch.linspace(_to_mel(_LOWEST_HZ), _to_mel(_HIGHEST_HZ), _BANDS + 2, dtype=torch.float64)
    edges_hz = 700 * (10 ** (mel / 2595) - 1)
    widths_hz = edges_hz.diff().clamp(min=RATE_HZ / _FRAME)
    distance = frequencies_hz - edges_hz[1:-1, None]
    weights = 1 - torch.where(distance < 0, -distance / widths_hz[:-1, None], distance / widths_hz[1:, None])
    return weights.clamp(min=0).float()


def _to_mel(frequency_hz: float) -> float:
    return 2595 * math.log10(1 + frequency_hz / 700)


def _make_cosines(coefficients: int) -> Tensor:
    """Return the first rows of the orthonormal cosine transform of the bands, `(coefficients, 26)`."""
    places = (torch.arange(_BANDS, dtype=torch.float64) + 0.5) * math.pi / _BANDS
    rows = (torch.arange(coefficients, dtype=torch.float64)[:, None] * places).cos() * math.sqrt(2 / _BANDS)
    rows[0] /= math.sqrt(2)
    return rows.float()


def _convolve(
    channels_in: int,
    channels_out: int,
    kernel: tuple[int, int],
    *,
    stride: int = 1,
    padding: tuple[int, int] = (0, 0),
    groups: int = 1,
) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]
