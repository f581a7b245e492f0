"""Boxes in text files beside pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.pictures import write_picture, write_yolo
from toolchain.data import load_dataset
from toolchain.data.yolo_labels import _read_row
from toolchain.errors import ExitCode, ToolchainError


def refuse(options):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("yolo_labels", options)
    return caught.value


def test_fractions_become_pixels_of_the_input(tmp_path):
    data = load_dataset("yolo_labels", write_yolo(tmp_path) | {"width": 40, "height": 40})
    assert data.classes == ("cat", "dog")
    boxes, classes = data.evaluation.targets["boxes"], data.evaluation.targets["classes"]
    assert [len(boxes.read(index)) for index in range(3)] == [2, 0, 2]
    # 20x10 becomes 40x20, with 10 above.
    np.testing.assert_allclose(boxes.read(0), [[0, 10, 20, 30], [18, 18, 22, 22]], rtol=1e-6)
    assert classes.read(2).tolist() == [0, 1]
    assert data.train.batch(1, 3)["input"].shape == (2, 3, 40, 40)
    assert data.evaluation.name_sample(2) == str(tmp_path / "evaluation/images/2.png")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("2 0.5 0.5 0.1 0.1", "a class beyond the names"),
        ("-1 0.5 0.5 0.1 0.1", "a class beyond the names"),
        ("1 0.5 0.5 0 0.1", "a box without an area"),
        ("1 0.95 0.5 0.3 0.1", "a box outside of its picture"),
        ("1 1.6 1.6 1 1", "a box outside of its picture"),
        ("1 5 5 1 1", "a box in pixels"),
        ("1 2 2 8 6", "a box in pixels"),
        ("1 nan 0.5 0.1 0.1", "a box that is no numbers"),
        ("1 0.5 0.5 1e999 0.1", "a box that is no numbers"),
        ("1 0.5 0.5 0.1", "a line that is no box"),
        ("1 0.5 0.5 0.1 0.1 0.9", "a line that is no box"),
        ("1.5 0.5 0.5 0.1 0.1", "a line that is no box"),
        ("dog 0.5 0.5 0.1 0.1", "a line that is no box"),
        ("1 0_5 0.5 0.1 0.1", "a line that is no box"),
        ("1 ٠.٥ 0.5 0.1 0.1", "a line that is no box"),
        ("9" * 5000 + " 0.5 0.5 0.1 0.1", "a line that is no box"),
    ],
)
def test_a_wrong_line_is_refused_by_its_place(tmp_path, line, what):
    options = write_yolo(tmp_path)
    path = tmp_path / "train/labels/2.txt"
    path.write_text(f"0 0.5 0.5 0.1 0.1\n\n{line}\n")
    error = refuse(options)
    assert error.code is ExitCode.USAGE
    assert f"{what} (1)" in error.what
    assert error.found.startswith(f"{path}, line 3: ")


def test_all_wrong_lines_are_counted(tmp_path):
    error = refuse(write_yolo(tmp_path, lines="5 0.5 0.5 0.1 0.1\n" * 10))
    assert "a class beyond the names (40)" in error.what
    assert error.found.endswith("and 37 more")


def test_labels_without_a_picture_are_refused_and_the_names_of_a_tool_are_passed_over(tmp_path):
    options = write_yolo(tmp_path)
    (tmp_path / "train/labels/classes.txt").write_text("cat\ndog\n")
    load_dataset("yolo_labels", options)
    (tmp_path / "train/labels/9.txt").write_text("0 0.5 0.5 0.1 0.1")
    error = refuse(options)
    assert "labels of a picture that is not there (1)" in error.what
    assert str(tmp_path / "train/labels/9.txt") in error.found


def test_two_pictures_of_one_stem_are_refused(tmp_path):
    options = write_yolo(tmp_path)
    write_picture(tmp_path / "train/images/0.jpg")
    assert "two files of one stem (1)" in refuse(options).what


def test_a_label_file_that_is_no_text_or_endless_is_counted(tmp_path):
    options = write_yolo(tmp_path)
    (tmp_path / "train/labels/0.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "train/labels/2.txt").write_bytes(b"0" * ((1 << 20) + 1))
    assert "a label file that cannot be read (2)" in refuse(options).what


def test_a_set_without_a_box_is_refused(tmp_path):
    assert refuse(write_yolo(tmp_path, lines="\n")).what == "no sample has a box"


def test_missing_folders_are_exit_3_and_those_without_pictures_exit_2(tmp_path):
    options = write_yolo(tmp_path)
    assert refuse(options | {"train": str(tmp_path / "none")}).code is ExitCode.MISSING
    assert refuse(options | {"train_labels": str(tmp_path / "none")}).code is ExitCode.MISSING
    assert refuse(options | {"train": options["train_labels"]}).code is ExitCode.USAGE


@given(number=st.integers(0, 99), values=st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_line_is_read_as_it_was_written(number, values):
    assert _read_row(f" {number}  " + "\t".join(map(repr, values))) == (number, values)
