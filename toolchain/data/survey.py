"""A survey of samples: what two parts of a data set are compared by, and what shows that a part proves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.data.dataset import Samples

# Seconds, even where every sample is a picture to decode: 12 s for 2,000 pictures of 500x375 on two cores.
SAMPLES_MAX = 2000
# Read together: an image folder decodes the pictures of one batch in parallel.
_BATCH = 50


@dataclass(frozen=True)
class Survey:
    """What was seen of the samples of a part; arrays `(n,)` by input, in the order of `indices`."""

    samples: Samples
    count: int
    """Samples of the part that are used; more than were looked at where there are very many."""
    indices: NDArray[np.int64]
    """Of the samples that were looked at `(n,)`."""
    digests: Mapping[str, tuple[bytes, ...]]
    """Of the bytes of each sample, by input."""
    peaks: Mapping[str, NDArray[np.float64]]
    """The largest finite magnitude of each sample, by float input."""
    flat: NDArray[np.bool_]
    """Whether a sample is one and the same value in every input that has several, `(n,)`."""

    spread: float
    """How far samples differ at most in any place, of the largest magnitude of their input: 0 for copies."""

    @property
    def contents(self) -> list[tuple[bytes, ...]]:
        """What each sample is, over all inputs."""
        return list(zip(*self.digests.values(), strict=True))


def survey_samples(samples: Samples, count: int) -> Survey:
    """Return what the first `count` samples are; of more than SAMPLES_MAX, batches spread evenly over them."""
    indices: list[int] = []
    digests: dict[str, list[bytes]] = {}
    peaks: dict[str, list[NDArray[np.float64]]] = {}
    flat: list[NDArray[np.bool_]] = []
    bounds: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    for start, stop in _spread_batches(count):
        batch = samples.batch(start, stop)
        indices.extend(range(start, stop))
        flat.append(_find_flat(batch, stop - start))
        for name, array in batch.items():
            low, high = bounds.get(name, (array[0], array[0]))
            bounds[name] = (np.minimum(low, array.min(axis=0)), np.maximum(high, array.max(axis=0)))
            digests.setdefault(name, []).extend(_hash_sample(sample) for sample in array)
            if np.issubdtype(array.dtype, np.floating):
                peaks.setdefault(name, []).append(_find_peaks(array))
    return Survey(
        samples=samples,
        count=count,
        indices=np.array(indices, dtype=np.int64),
        digests={name: tuple(found) for name, found in digests.items()},
        peaks={name: np.concatenate(found) for name, found in peaks.items()},
        flat=np.concatenate(flat),
        spread=max(_measure_spread(*pair) for pair in bounds.values()),
    )


def _spread_batches(count: int) -> Iterator[tuple[int, int]]:
    """Yield where batches start and stop, those of all samples or of so many that are looked at."""
    starts = np.arange(0, count, _BATCH)
    wanted = SAMPLES_MAX // _BATCH
    if len(starts) > wanted:
        starts = starts[np.linspace(0, len(starts) - 1, wanted).astype(np.int64)]
    for start in starts.tolist():
        yield start, min(start + _BATCH, count)


def _hash_sample(sample: NDArray[Any]) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(sample).tobytes(), digest_size=16).digest()


def _find_peaks(array: NDArray[Any]) -> NDArray[np.float64]:
    """Return the largest finite magnitude of each sample `(n,)`; 0 where a sample has none."""
    rows = np.abs(array.reshape(len(array), -1))
    peaks: NDArray[np.float64] = np.where(np.isfinite(rows), rows, 0).max(axis=1, initial=0).astype(np.float64)
    return peaks


def _find_flat(batch: Mapping[str, NDArray[Any]], count: int) -> NDArray[np.bool_]:
    flat, judged = np.ones(count, dtype=np.bool_), False
    for array in batch.values():
        rows = array.reshape(count, -1)
        if rows.shape[1] > 1:
            flat &= (rows == rows[:, :1]).all(axis=1)
            judged = True
    return flat & judged


def _measure_spread(low: NDArray[Any], high: NDArray[Any]) -> float:
    """Return the largest difference between samples in any place over the largest magnitude, both finite."""
    if low.dtype == np.bool_ or not np.issubdtype(low.dtype, np.number):
        return float((low != high).any())
    lows, highs = low.astype(np.float64), high.astype(np.float64)
    finite = np.isfinite(lows) & np.isfinite(highs)
    magnitude = float(np.maximum(np.abs(lows), np.abs(highs))[finite].max(initial=0))
    if not (lows == highs)[~finite].all():
        return 1.0  # a mask that changes from sample to sample
    return float((highs - lows)[finite].max(initial=0)) / magnitude if magnitude else 0.0
