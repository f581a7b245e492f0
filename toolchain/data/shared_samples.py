"""Samples that two parts of a data set share, told by their bytes: what was learned by heart proves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.data.dataset import Samples, TrainingSamples
from toolchain.errors import usage

_BATCH = 50
# Of each part so many are looked at: seconds, where each is a picture to decode.
_LOOKED_AT = 1000
# Of the evaluation. Public sets have copies of single pictures in both parts, and tables the same row twice.
_SHARE_MAX = 0.5
# Of samples that differ this often among themselves, that many are in both parts by no chance.
_DIFFERENT_MIN = 0.9


def hash_samples(samples: Samples, first: int, last: int) -> Iterator[bytes]:
    """Yield the digest of the inputs of each sample from `first` to below `last`."""
    for start in range(first, last, _BATCH):
        stop = min(start + _BATCH, last)
        yield from _hash_rows(samples.batch(start, stop), stop - start)


def _hash_rows(batch: Mapping[str, NDArray[Any]], count: int) -> Iterator[bytes]:
    for row in range(count):
        total = hashlib.blake2b(digest_size=16)
        for name in sorted(batch):
            total.update(np.ascontiguousarray(batch[name][row]).tobytes())
        yield total.digest()


def refuse_learning_from_evaluation(training: TrainingSamples, evaluation: Samples, count: int, *, where: str) -> None:
    """Refuse (exit 2) to learn from a part that holds half of the evaluation samples or more, or as many as can be seen.

    count: of the evaluation samples that are used.
    """
    known, found = _hash_batches(evaluation, count), _hash_spread(training)
    different = set(known)
    shared = len(different.intersection(found))
    share = shared / len(different) * len(training) / len(found)
    if share < _SHARE_MAX or len(different) < _DIFFERENT_MIN * len(known):
        return
    raise usage(
        "the model would learn from the samples that it is judged on",
        where=where,
        expected="a training part that holds none of the evaluation samples",
        found=f"{shared} of {len(different)} evaluation samples among {len(found)} of {len(training)} to learn from",
        fix="evaluate on samples that are kept apart: another file or folder, or for npz options = { split = true }",
    )


def _hash_batches(samples: Samples, count: int) -> list[bytes]:
    """Return the digests of batches spread evenly over the first `count` samples."""
    starts = range(0, count, _BATCH)
    chosen = {starts[place] for place in _spread(len(starts), _LOOKED_AT // _BATCH)}
    return [digest for start in sorted(chosen) for digest in hash_samples(samples, start, min(start + _BATCH, count))]


def _hash_spread(samples: TrainingSamples) -> list[bytes]:
    """Return the digests of single samples spread evenly: some lie in any batch, wherever that stood in the other part."""
    indices = _spread(len(samples), _LOOKED_AT)
    parts = [indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH)]
    return [digest for part in parts for digest in _hash_rows(samples.take(part), len(part))]


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.linspace(0, count - 1, min(count, most)).astype(np.int64)
