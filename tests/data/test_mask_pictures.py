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


def test_masks_of_classes_beyond_the_names_are_all_counted_before_any_is_used(tmp_path):
    options = write_masks(tmp_path)
    for path, number in (("train/masks/1.png", 3), ("train/masks/2.png", 254), ("evaluation/masks/1.png", 4)):
        Image.fromarray(np.full((10, 20), number, dtype=np.uint8)).save(tmp_path / path)
    error = refuse(options)
    assert error.code is ExitCode.USAGE
    assert "a class beyond the names (2)" in error.what  # of one part at a time
    assert (
        error.found
        == f"{tmp_path}/train/masks/1.png: 3, in 200 pixels; {tmp_path}/train/masks/2.png: 254, in 200 pixels"
    )


def test_a_class_that_the_input_is_too_small_to_show_is_found_too(tmp_path):
    options = write_masks(tmp_path) | {"width": 2, "height": 1}
    mask = np.ones((10, 20), dtype=np.uint8)
    mask[9, 19] = 77
    Image.fromarray(mask).save(tmp_path / "evaluation/masks/1.png")
    assert "77, in 1 pixels" in refuse(options).found


def test_a_mask_that_changes_after_it_was_checked_is_refused_when_it_is_read(tmp_path):
    mask = load_dataset("mask_pictures", write_masks(tmp_path)).train.targets["mask"]
    Image.fromarray(np.full((10, 20), 3, dtype=np.uint8)).save(tmp_path / "train/masks/1.png")
    with pytest.raises(ToolchainError, match="a class beyond the names") as caught:
        mask[0:3]
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.where == str(tmp_path / "train/masks/1.png")
    assert caught.value.found.startswith("3, in ")


@pytest.mark.parametrize("white", [True, False], ids=["1 bit", "0 and 255"])
def test_a_mask_of_one_bit_has_two_classes_and_white_of_eight_bits_is_nothings(tmp_path, white):
    options = write_masks(tmp_path) | {"names": ["sky", "road"]}
    for path in tmp_path.glob("*/masks/*.png"):
        half = np.repeat([[0], [255]], 5, axis=0) * np.ones((1, 20))
        image = Image.fromarray(half.astype(np.uint8))
        (image.convert("1") if white else image).save(path)
    if white:
        assert set(np.unique(load_dataset("mask_pictures", options).evaluation.targets["mask"][0])) == {0, 1}
    else:
        assert "255 stands for nothing" in refuse(options).what


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


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "I;16"])
def test_masks_of_colours_or_16_bits_are_counted_by_their_files(tmp_path, mode):
    options = write_masks(tmp_path)
    pixels = np.ones((10, 20), dtype=np.uint16 if mode == "I;16" else np.uint8)
    for number in range(2):
        image = Image.fromarray(pixels)
        (image if mode == "I;16" else image.convert(mode)).save(tmp_path / f"evaluation/masks/{number}.png")
    error = refuse(options)
    assert error.code is ExitCode.USAGE
    assert "a mask that is no picture of class numbers (2)" in error.what
    assert f"{tmp_path}/evaluation/masks/1.png: PNG of mode {mode}" in error.found


def test_a_mask_that_is_cut_off_is_counted(tmp_path):
    options = write_masks(tmp_path)
    path = tmp_path / "train/masks/1.png"
    path.write_bytes(path.read_bytes()[:-30])
    error = refuse(options)
    assert "a picture that cannot be read (1)" in error.what
    assert str(path) in error.found
