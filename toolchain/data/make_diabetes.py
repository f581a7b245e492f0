"""Makes diabetes.npz from what scikit-learn carries: the same bytes every time.

Run, with scikit-learn installed: python -m toolchain.data.make_diabetes
"""

from __future__ import annotations

import io

import numpy as np

from toolchain.data.diabetes import FILE, VALUES


def make_archive() -> bytes:
    """Return the content of the .npz file."""
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    buffer = io.BytesIO()
    arrays = {"input": found.data.astype(np.float32), VALUES: found.target.astype(np.float32)}
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


if __name__ == "__main__":
    FILE.write_bytes(make_archive())
