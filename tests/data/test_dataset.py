import os

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolchain.data.dataset import ImageSamples, hash_files, hash_stats, interleave_classes


def make_samples(count=5):
    images = np.arange(count * 4, dtype=np.uint8).reshape(count, 1, 2, 2)
    return ImageSamples(
        images=images, targets={"labels": np.arange(count)}, sha256="", transform=lambda part: part.astype(np.float32)
    )


def test_taking_the_indices_of_a_range_is_the_batch_of_that_range():
    samples = make_samples()
    taken = samples.take(np.array([1, 2]))["input"]
    assert np.array_equal(taken, samples.batch(1, 3)["input"])


def test_a_batch_over_the_end_is_shorter():
    assert samples_in(make_samples().batch(3, 99)) == 2


def samples_in(batch):
    return len(batch["input"])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_interleaving_is_a_permutation_whose_beginnings_are_balanced(labels):
    labels = np.array(labels, dtype=np.int64)
    order = interleave_classes(labels)
    assert sorted(order) == list(range(len(labels)))
    sizes = np.bincount(labels, minlength=5)
    for stop in range(1, len(labels) + 1):
        counts = np.bincount(labels[order[:stop]], minlength=5)
        unfinished = counts[counts < sizes]  # a class that has run out may lag behind
        assert unfinished.size == 0 or counts.max() - unfinished.min() <= 1


def test_interleaving_keeps_the_order_within_a_class():
    order = interleave_classes(np.array([1, 0, 1, 0, 0]))
    assert order.tolist() == [1, 0, 3, 2, 4]


def test_the_hash_of_files_depends_on_content_on_order_and_on_what_is_taken(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    hashes = {
        hash_files("x", [first, second]),
        hash_files("x", [second, first]),
        hash_files("y", [first, second]),
    }
    before = hash_files("x", [first, second])
    second.write_bytes(b"3")
    assert len(hashes | {hash_files("x", [first, second])}) == 4
    second.write_bytes(b"2")
    assert hash_files("x", [first, second]) == before


def test_the_hash_of_stats_sees_a_changed_file_of_the_same_size(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    os.utime(path, ns=(0, 1))
    before = hash_stats("x", tmp_path, [path])
    os.utime(path, ns=(0, 2))
    assert hash_stats("x", tmp_path, [path]) != before
