import numpy as np
import pytest

from toolchain.data import load_dataset
from toolchain.errors import ExitCode, ToolchainError

FILES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
SIZE_BYTES = 30_730_000  # of each file, as the data set's page describes it: 10,000 records of 1 + 3,072


@pytest.fixture
def folder(tmp_path):
    """Six files of the right size: zeros that take no room on the disk, and a few records."""
    for number, name in enumerate(FILES):
        with (tmp_path / name).open("wb") as file:
            file.write(bytes([number]))  # the label
            file.write(bytes([10]) * 1024 + bytes([20]) * 1024 + bytes([30]) * 1024)
            file.truncate(SIZE_BYTES)
    return tmp_path


def refuse(folder):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("cifar10", {"folder": str(folder)})
    return caught.value


def test_records_are_a_label_and_three_planes(folder):
    dataset = load_dataset("cifar10", {"folder": str(folder)})
    assert (len(dataset.train), len(dataset.evaluation)) == (50_000, 10_000)
    assert dataset.train.targets["labels"][::10_000].tolist() == [0, 1, 2, 3, 4]
    assert dataset.evaluation.targets["labels"][0] == 5
    picture = dataset.evaluation.batch(0, 1)["input"]
    assert picture.shape == (1, 3, 32, 32)
    assert picture.dtype == np.float32
    for channel, (value, mean, std) in enumerate([(10, 0.4914, 0.2470), (20, 0.4822, 0.2435), (30, 0.4465, 0.2616)]):
        assert np.allclose(picture[0, channel], (value / 255 - mean) / std, atol=1e-6)


def test_a_missing_file_is_exit_3_and_says_how_to_get_it(tmp_path):
    error = refuse(tmp_path)
    assert error.code is ExitCode.MISSING
    assert "cifar-10-binary" in error.fix


@pytest.mark.parametrize("size_bytes", [0, SIZE_BYTES - 1, SIZE_BYTES - 3073, SIZE_BYTES + 3073])
def test_a_file_of_another_size_is_exit_23(folder, size_bytes):
    with (folder / FILES[2]).open("r+b") as file:
        file.truncate(size_bytes)
    error = refuse(folder)
    assert error.code is ExitCode.MALFORMED
    assert FILES[2] in error.where
    assert str(SIZE_BYTES) in error.expected
    assert str(size_bytes) in error.found


def test_a_label_out_of_range_is_exit_23(folder):
    with (folder / FILES[5]).open("r+b") as file:
        file.seek(3073)
        file.write(bytes([10]))
    assert refuse(folder).code is ExitCode.MALFORMED
