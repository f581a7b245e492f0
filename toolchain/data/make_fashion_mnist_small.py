"""Makes fashion_mnist_small.npz from Fashion-MNIST: the first pictures of each class, the same bytes every time.

Run: python -m toolchain.data.make_fashion_mnist_small
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.data import fashion_mnist, fashion_mnist_small
from toolchain.data.dataset import ImageSamples, find_labels, interleave_classes

_CALIBRATION_SAMPLES = 512
_EVALUATION_SAMPLES = 2000


def make_archive(training: ImageSamples, test: ImageSamples) -> bytes:
    """Return the content of the .npz file."""
    buffer = io.BytesIO()
    arrays = {
        **_select(training, _CALIBRATION_SAMPLES, "calibration"),
        **_select(test, _EVALUATION_SAMPLES, "evaluation"),
    }
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _select(samples: ImageSamples, count: int, part: str) -> dict[str, NDArray[Any]]:
    labels = find_labels(samples)
    if labels is None:
        raise TypeError("these pictures have labels")
    chosen = interleave_classes(labels)[:count]
    return {f"{part}_images": samples.images[chosen], f"{part}_labels": labels[chosen].astype(np.uint8)}


if __name__ == "__main__":
    fashion_mnist_small.FILE.write_bytes(make_archive(*fashion_mnist.load_parts({})))
