import numpy as np

from toolchain.data.arranged import Arranged
from toolchain.data.npz import ArraySamples


def test_the_arrays_come_in_the_order_that_is_asked_for_and_are_the_same_samples():
    arrays = {"b": np.arange(3), "a": np.arange(3) * 2}
    samples = ArraySamples(arrays=arrays, targets={"labels": np.zeros(3, dtype=np.int64)}, sha256="content")
    arranged = Arranged(samples, ("a", "b"))
    batch = arranged.batch(1, 3)
    assert list(batch) == ["a", "b"]
    assert batch["a"].tolist() == [2, 4]
    assert (len(arranged), arranged.sha256, arranged.targets["labels"].tolist()) == (3, "content", [0, 0, 0])
