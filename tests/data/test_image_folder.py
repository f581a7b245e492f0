import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from toolchain.data import load_dataset
from toolchain.data.read_image import read_image
from toolchain.errors import ExitCode, ToolchainError


def write_pictures(folder, classes=("cat", "dog"), counts=(4, 2), size=(40, 30)):
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for name, count in zip(classes, counts, strict=True):
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return {"folder": str(folder), "size": 16}


def refuse(options):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("image_folder", options)
    return caught.value


def test_classes_are_folders_and_come_in_turn(tmp_path):
    dataset = load_dataset("image_folder", write_pictures(tmp_path))
    assert dataset.classes == ("cat", "dog")
    assert dataset.calibration.targets["labels"].tolist() == [0, 1, 0, 1, 0, 0]
    assert len(dataset.evaluation) == 6
    batch = dataset.train.batch(0, 3)["input"]
    assert batch.shape == (3, 3, 16, 16)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert np.array_equal(dataset.train.take(np.array([2, 1]))["input"], batch[[2, 1]])


@pytest.mark.parametrize("size", [(301, 400), (400, 301), (50, 50), (37, 500)])
@pytest.mark.parametrize("side", [224, 32])
def test_pixels_are_those_of_torchvision(tmp_path, size, side):
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    standard = transforms.Compose([transforms.Resize(round(side * 256 / 224)), transforms.CenterCrop(side)])
    with Image.open(path) as image:
        assert np.array_equal(read_image(path, side), np.asarray(standard(image.convert("RGB"))))


def test_values_are_normalized_by_mean_and_std(tmp_path):
    options = write_pictures(tmp_path) | {"mean": [0.0, 0.5, 1.0], "std": [1.0, 0.5, 0.25]}
    samples = load_dataset("image_folder", options).evaluation
    pixels = read_image(samples.paths[0], 16) / 255
    expected = (pixels - [0.0, 0.5, 1.0]) / [1.0, 0.5, 0.25]
    assert np.allclose(samples.batch(0, 1)["input"][0], expected.transpose(2, 0, 1), atol=1e-5)


def test_a_grey_picture_becomes_three_equal_channels(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.full((20, 20), 77, dtype=np.uint8)).save(path)
    assert np.array_equal(read_image(path, 8), np.full((8, 8, 3), 77))


def test_a_file_that_is_no_picture_by_name_is_left_out(tmp_path):
    options = write_pictures(tmp_path)
    (tmp_path / "train/cat/notes.txt").write_text("hello")
    assert len(load_dataset("image_folder", options).train) == 6


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_what_are_no_pictures_are_all_counted_before_any_is_used(tmp_path, content):
    options = write_pictures(tmp_path)
    for name in ("cat/1.png", "dog/0.png"):
        (tmp_path / "test" / name).write_bytes(content)
    error = refuse(options)
    assert error.code is ExitCode.USAGE
    assert "a picture that cannot be read (2)" in error.what
    assert f"{tmp_path}/test/dog/0.png: none of these by its content" in error.found


def test_a_picture_that_is_cut_off_is_exit_23_and_named_when_it_is_read(tmp_path):
    options = write_pictures(tmp_path)
    path = tmp_path / "test/dog/0.png"
    path.write_bytes(path.read_bytes()[:200])
    samples = load_dataset("image_folder", options).evaluation
    with pytest.raises(ToolchainError) as caught:
        samples.batch(0, len(samples))
    assert caught.value.code is ExitCode.MALFORMED
    assert str(path) in caught.value.where


def test_a_missing_folder_is_exit_3_and_says_the_layout(tmp_path):
    error = refuse({"folder": str(tmp_path / "none")})
    assert error.code is ExitCode.MISSING
    assert "train/CLASS" in error.fix


def test_a_class_that_is_only_in_one_part_is_refused(tmp_path):
    options = write_pictures(tmp_path)
    (tmp_path / "test/bird").mkdir()
    error = refuse(options)
    assert error.code is ExitCode.USAGE
    assert "bird" in error.found


def test_a_folder_that_a_tool_has_left_in_both_parts_is_no_class(tmp_path):
    options = write_pictures(tmp_path)
    for part in ("train", "test"):
        (tmp_path / part / "cat").rename(tmp_path / part / ".ipynb_checkpoints")
    error = refuse(options)
    assert (error.code, error.where) == (ExitCode.USAGE, str(tmp_path / "train/.ipynb_checkpoints"))


def test_a_class_without_pictures_is_refused(tmp_path):
    options = write_pictures(tmp_path)
    for part in ("train", "test"):
        (tmp_path / part / "bird").mkdir()
    error = refuse(options)
    assert error.code is ExitCode.USAGE
    assert "bird" in error.where


@pytest.mark.parametrize("wrong", [{"size": 0}, {"mean": [0.5]}, {"std": [0.0, 1.0, 1.0]}, {"size": "16"}])
def test_a_wrong_option_is_a_usage_error(tmp_path, wrong):
    error = refuse(write_pictures(tmp_path) | wrong)
    assert error.code is ExitCode.USAGE
    assert next(iter(wrong)) in error.where


def test_the_hash_sees_options_and_pictures(tmp_path):
    options = write_pictures(tmp_path)
    before = load_dataset("image_folder", options)
    resized = load_dataset("image_folder", options | {"size": 8})
    (tmp_path / "train/cat/0.png").unlink()
    after = load_dataset("image_folder", options)
    assert len({before.train.sha256, resized.train.sha256, after.train.sha256}) == 3
    assert after.evaluation.sha256 == before.evaluation.sha256


def test_a_name_that_is_no_utf_8_is_refused_and_shown(tmp_path):
    for place in (b"train/cat/caf\xe9.png", b"train/caf\xe9"):
        options = write_pictures(tmp_path / str(len(place)))
        odd = os.fsencode(options["folder"]) + b"/" + place
        if place.endswith(b".png"):
            os.close(os.open(odd, os.O_CREAT))
        else:
            Path(os.fsdecode(odd)).mkdir()
        error = refuse(options)
        assert error.code is ExitCode.USAGE
        assert error.found.startswith("caf\\xe9")


def test_a_name_in_any_script_and_a_link_are_read(tmp_path):
    options = write_pictures(tmp_path)
    (tmp_path / "train/cat/0.png").rename(tmp_path / "elsewhere.png")
    (tmp_path / "train/cat/кот café.png").symlink_to(tmp_path / "elsewhere.png")
    assert len(load_dataset("image_folder", options).train.batch(0, 6)["input"]) == 6


@pytest.mark.parametrize(
    "make", [os.mkdir, os.mkfifo, lambda path: path.symlink_to("nothing"), lambda path: path.symlink_to(path)]
)
def test_what_is_a_picture_by_its_name_alone_is_refused(tmp_path, make):
    options = write_pictures(tmp_path)
    make(tmp_path / "train/cat/a.png")
    error = refuse(options)
    assert (error.code, error.where) == (ExitCode.USAGE, str(tmp_path / "train/cat/a.png"))
