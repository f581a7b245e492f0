import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.agent.errors import ExitCode, ToolchainError
from toolchain.agent.measure.targets import (
    Ragged,
    join_batches,
    join_targets,
    slice_target,
    split_targets,
    take_target_rows,
)


def make_ragged(counts, columns=4):
    rows = sum(counts)
    values = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    return Ragged(values=values, offsets=np.cumsum([0, *counts], dtype=np.int64))


def list_rows(target):
    return [target.read(index).tolist() for index in range(len(target))]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
def test_slices_and_rows_of_a_ragged_target_are_its_samples(counts, data):
    target = make_ragged(counts)
    start = data.draw(st.integers(0, len(counts)))
    stop = data.draw(st.integers(start, len(counts)))
    assert list_rows(slice_target(target, start, stop)) == list_rows(target)[start:stop]
    indices = np.array(data.draw(st.lists(st.integers(0, len(counts) - 1))), dtype=np.int64)
    assert list_rows(take_target_rows(target, indices)) == [list_rows(target)[index] for index in indices]


def test_batches_of_targets_are_joined_sample_by_sample():
    rows = make_ragged([2, 0, 3, 1, 0])
    parts = [
        {"boxes": slice_target(rows, start, stop), "labels": np.arange(start, stop)} for start, stop in ((0, 2), (2, 5))
    ]
    joined = join_batches(parts)
    assert list_rows(joined["boxes"]) == list_rows(rows)
    assert joined["boxes"].offsets.tolist() == rows.offsets.tolist()
    assert joined["labels"].tolist() == [0, 1, 2, 3, 4]


def test_targets_come_back_from_files_as_they_were(tmp_path):
    targets = {"labels": np.array([1, 0, 2]), "boxes": make_ragged([2, 0, 1])}
    for name, array in split_targets(targets).items():
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=False)
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in tmp_path.iterdir()}
    read = join_targets(arrays, 3, "here")
    assert read["labels"].tolist() == [1, 0, 2]
    assert list_rows(read["boxes"]) == list_rows(targets["boxes"])


OFFSETS = np.array([0, 2, 3])


@pytest.mark.parametrize(
    "arrays",
    [
        {"labels": np.zeros(3, np.int64)},
        {"labels": np.zeros((), np.int64)},
        {"labels": np.array(["a", "b"])},
        {"labels": np.zeros(2, np.complex64)},
        {"boxes.values": np.zeros((3, 4)), "boxes.offsets": OFFSETS[:2]},
        {"boxes.values": np.zeros((3, 4)), "boxes.offsets": OFFSETS.astype(np.int32)},
        {"boxes.values": np.zeros((3, 4)), "boxes.offsets": np.array([0, 3, 2])},
        {"boxes.values": np.zeros((3, 4)), "boxes.offsets": np.array([1, 2, 3])},
        {"boxes.values": np.zeros((3, 4)), "boxes.offsets": np.array([0, -1, 3])},
        {"boxes.values": np.zeros((3, 4)), "boxes.offsets": np.array([0, 2, 2**62])},
        {"boxes.values": np.zeros(()), "boxes.offsets": OFFSETS},
        {"boxes.values": np.zeros((3, 4))},
    ],
)
def test_arrays_that_are_no_targets_of_the_samples_are_refused(arrays):
    with pytest.raises(ToolchainError) as caught:
        join_targets(arrays, 2, "here")
    assert caught.value.code is ExitCode.MALFORMED
    assert caught.value.where.startswith("here: ")
    assert caught.value.fix


def test_good_arrays_pass_the_same_checks():
    good = {"labels": np.zeros(2, np.uint8), "boxes.values": np.zeros((3, 4)), "boxes.offsets": OFFSETS}
    assert set(join_targets(good, 2, "here")) == {"labels", "boxes"}
