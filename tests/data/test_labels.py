import numpy as np
import pytest

from toolchain.data import load_dataset
from toolchain.data.dataset import ImageSamples
from toolchain.data.labels import check_labels, describe_missing_classes, read_labels
from toolchain.errors import ExitCode, ToolchainError


def label(*labels):
    values = np.array(labels, dtype=np.int64)
    return ImageSamples(
        images=np.zeros((len(values), 1), np.uint8), targets={"labels": values}, sha256="", transform=np.float32
    )


def refuse(call, *arguments, **options):
    with pytest.raises(ToolchainError) as caught:
        call(*arguments, where="here", **options)
    assert (caught.value.code, caught.value.where) == (ExitCode.USAGE, "here")
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_integers_of_every_kind_are_class_numbers(dtype):
    labels = read_labels(np.array([2, 0, 1], dtype=dtype), where="here")
    assert (labels.tolist(), labels.dtype) == ([2, 0, 1], np.int64)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (np.array([0, -1, 1, -2]), "sample 1 has -1, sample 3 has -2; 2 of 4 samples"),
        (np.array([0, 2**63 + 5], dtype=np.uint64), f"sample 1 has {2**63 + 5}; 1 of 2 samples"),
        (np.array([0.0, 0.5]), "float64 of shape (2,); sample 1 has 0.5"),
        (np.array([0.0, 1.0]), "float64 of shape (2,)"),
        (np.array([[0], [1]]), "int64 of shape (2, 1)"),
        (np.array([True, False]), "bool of shape (2,)"),
        (np.array(["cat", "dog"]), "<U3 of shape (2,)"),
    ],
)
def test_what_is_no_class_number_is_refused_with_its_sample(labels, found):
    assert refuse(read_labels, labels).found == found


def test_labels_within_the_outputs_pass():
    check_labels(label(0, 1, 2, 3), outputs=4, where="here")
    check_labels(label(0, 0), outputs=1, where="here")


@pytest.mark.parametrize(("labels", "outputs"), [((0, 4), 4), ((1, 2), 2), ((0, -1), 4), ((999,), 10)])
def test_labels_outside_of_the_outputs_are_refused(labels, outputs):
    assert f"0 to {outputs - 1}" in refuse(check_labels, label(*labels), outputs=outputs).expected


def test_labels_that_count_from_1_are_told_so_and_others_are_not():
    assert "labels - 1" in refuse(check_labels, label(1, 2, 3), outputs=3).fix
    assert "labels - 1" not in refuse(check_labels, label(1, 2, 3), outputs=2).fix


def test_only_the_labels_that_are_used_count():
    check_labels(label(0, 1, 9), 2, outputs=2, where="here")
    refuse(check_labels, label(0, 1, 9), 3, outputs=2)


def test_samples_without_labels_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)))
    samples = load_dataset("npz", {"path": str(tmp_path / "a.npz")}).evaluation
    assert refuse(check_labels, samples, outputs=4).what == "the data has no labels"


def test_fewer_named_classes_than_outputs_are_a_doubt_and_as_many_are_none():
    assert "2 classes and the model 3 outputs" in describe_missing_classes(("a", "b"), outputs=3, where="it")
    assert describe_missing_classes(("a", "b"), outputs=2, where="it") is None
    assert describe_missing_classes(None, outputs=3, where="it") is None
