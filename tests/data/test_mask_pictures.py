"""Masks beside pictures: read when they are taken."""

import numpy as np
import pytest
from PIL import Image

from tests.data.pictures import write_masks, write_picture
from toolchain.agent.measure.targets import slice_target, take_target_rows
from toolchain.data import load_dataset
from toolchain.data.drawn_rows import DrawnRows
from toolchain.data.subset import Subset
from toolchain.errors import ExitCode, ToolchainError


def refuse(options):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("mask_pictures", options)
    return caught.value


def test_a_mask_lies_where_its_picture_does(tmp_path):
    data = load_dataset("mask_pictures", write_masks(tmp_path) | {"width": 40, "height": 40})
    assert data.classes == ("sky", "road", "car")
    mask = slice_target(data.evaluation.targets["mask"], 1, 2)
    with Image.open(tmp_path / "evaluation/masks/1.png") as image:
        numbers = np.asarray(image)
    assert (mask.shape, mask.dtype) == ((1, 40, 40), np.uint8)
    assert np.array_equal(mask[0, 10:30], np.kron(numbers, np.ones((2, 2), dtype=np.uint8)))
    assert (mask[0, :10] == 255).all()
    assert data.evaluation.batch(0, 2)["input"].shape == (2, 3, 40, 40)


def test_masks_are_taken_in_any_order_and_a_subset_reads_none(tmp_path):
    train = load_dataset("mask_pictures", write_masks(tmp_path)).train
    mask, order = train.targets["mask"], np.array([2, 0])
    whole = np.asarray(mask)
    assert mask.shape == whole.shape == (3, 16, 32)
    assert np.array_equal(take_target_rows(mask, order), whole[order])
    assert np.array_equal(mask[1], whole[1])
    assert mask[3:].shape == (0, 16, 32)
    for path in (tmp_path / "train/masks").iterdir():
        path.unlink()
    subset = Subset(train, order).targets["mask"]
    assert isinstance(subset, DrawnRows)
    assert subset.shape == (2, 16, 32)


def test_a_mask_of_another_size_or_of_no_picture_and_a_picture_without_one_are_counted(tmp_path):
    options = write_masks(tmp_path)
    write_picture(tmp_path / "train/pictures/1.png", size=(10, 20))
    write_picture(tmp_path / "train/masks/7.png")
    (tmp_path / "evaluation/masks/0.png").unlink()
    error = refuse(options)
    assert error.code is ExitCode.USAGE
    assert "a mask of another size than its picture (1)" in error.what
    assert "labels of a picture that is not there (1)" in error.what
    assert "a picture without a mask (1)" in error.what
    assert f"{tmp_path}/train/masks/1.png: 20x10" in error.found


def test_a_class_beyond_the_names_is_refused_when_its_mask_is_read(tmp_path):
    options = write_masks(tmp_path)
    Image.fromarray(np.full((10, 20), 3, dtype=np.uint8)).save(tmp_path / "train/masks/1.png")
    mask = load_dataset("mask_pictures", options).train.targets["mask"]
    with pytest.raises(ToolchainError, match="a class beyond the names") as caught:
        mask[0:3]
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.where == str(tmp_path / "train/masks/1.png")
    assert caught.value.found.startswith("3, in ")


def test_the_number_that_is_nothings_is_no_class(tmp_path):
    options = write_masks(tmp_path)
    for part in ("train", "evaluation"):
        Image.fromarray(np.array([[255, 1]] * 5, dtype=np.uint8)).resize((20, 10), 0).save(
            tmp_path / part / "masks/0.png"
        )
    mask = load_dataset("mask_pictures", options).evaluation.targets["mask"]
    assert set(np.unique(mask[0])) == {1, 255}


def test_masks_of_the_first_class_alone_are_refused(tmp_path):
    error = refuse(write_masks(tmp_path, highest=0))
    assert (error.code, error.where) == (ExitCode.USAGE, str(tmp_path / "evaluation/masks"))


def test_a_mask_of_colours_is_refused_by_its_file(tmp_path):
    options = write_masks(tmp_path)
    write_picture(tmp_path / "evaluation/masks/0.png")
    error = refuse(options)
    assert (error.code, error.where) == (ExitCode.USAGE, str(tmp_path / "evaluation/masks/0.png"))
