import numpy as np
import pytest

from tests.data.test_csv_table import write_table
from tests.data.test_csv_text import write_texts
from tests.data.test_image_folder import write_pictures
from tests.data.test_wav_folder import write_sounds
from tests.objectives import make_objective
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


def test_samples_of_one_class_are_refused_with_the_first_and_the_last_of_them():
    check_labels(label(1, 1, 0), outputs=2, where="here")
    error = refuse(check_labels, label(1, 1, 1), outputs=2, classes=("no", "yes"))
    assert error.what == "the samples are all of one class"
    assert error.found == "class 1 (yes) from sample 0 to sample 2: 3 samples"
    part = refuse(check_labels, label(1, 1, 1, 0), 3, outputs=2)
    assert part.found.endswith("3 samples that are used, of 4")
    assert "mix" in part.fix


def test_one_sample_has_no_other_class():
    check_labels(label(1), outputs=2, where="here")


@pytest.mark.parametrize("labels", [(0, 1), (0, 0), (7,)])
def test_one_number_for_a_sample_is_no_answer_that_labels_are_held_against(labels):
    error = refuse(check_labels, label(*labels), outputs=1)
    assert "(N, classes)" in error.expected
    assert error.found == f"shape (N, 1), and labels from {labels[0]} to {labels[-1]}"
    assert "torch.cat([1 - p, p], dim=1)" in error.fix
    assert "anomalous" in error.fix


def load_table(folder, *, classes):
    rows = [f"{number},{number % classes}\n" for number in range(4)]
    return "csv_table", write_table(folder, evaluation="a,y\n" + "".join(rows), train="a,y\n1,0\n2,1\n")


def load_texts(folder, *, classes):
    rows = [f"ja,{('de', 'en')[number % classes]}\n" for number in range(4)]
    return "csv_text", write_texts(folder, evaluation="text,label\n" + "".join(rows))


def load_sounds(folder, *, classes):
    return "wav_folder", write_sounds(folder, classes=("no", "yes")[:classes])


def load_pictures(folder, *, classes):
    return "image_folder", write_pictures(folder, ("cat", "dog")[:classes], (4, 2)[:classes])


@pytest.mark.parametrize(
    ("load", "first"),
    [(load_table, "line 2"), (load_texts, "line 2"), (load_sounds, "no/0.wav"), (load_pictures, "cat/0.png")],
)
def test_an_evaluation_of_one_class_is_refused_by_file_and_row_in_every_loader(tmp_path, load, first):
    for classes in (1, 2):
        folder = tmp_path / str(classes)
        folder.mkdir()
        samples = load_dataset(*load(folder, classes=classes)).evaluation
        if classes == 2:
            make_objective().check({"y": np.zeros((1, 2))}, samples, where="here")
            check_labels(samples, outputs=2, where="here")
            return
        assert first in refuse(check_labels, samples, outputs=2).found
        assert first in refuse(make_objective().check, {"y": np.zeros((1, 2))}, samples).found
