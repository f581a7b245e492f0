import gzip
import struct

import numpy as np
import pytest
import torchvision.datasets

from toolchain.data import fashion_mnist, load_dataset
from toolchain.data.fashion_mnist import transform_images
from toolchain.errors import ExitCode, ToolchainError


def pack(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_parts(folder, counts=(("train", 20), ("t10k", 10))):
    random = np.random.default_rng(0)
    for part, count in counts:
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(pack(images)))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(pack(labels)))
    return {"folder": str(folder)}


def refuse(options):
    with pytest.raises(ToolchainError) as caught:
        load_dataset("fashion_mnist", options)
    return caught.value


def test_calibration_is_of_train_and_evaluation_of_test(tmp_path):
    dataset = load_dataset("fashion_mnist", write_parts(tmp_path))
    assert (len(dataset.train), len(dataset.calibration), len(dataset.evaluation)) == (20, 20, 10)
    assert dataset.calibration.sha256 != dataset.evaluation.sha256
    assert dataset.evaluation.targets["labels"].tolist() == list(range(10))
    batch = dataset.evaluation.batch(0, 4)
    assert batch["input"].shape == (4, 3, 32, 32)
    assert batch["input"].dtype == np.float32


def test_a_changed_picture_changes_the_hash_of_its_part_only(tmp_path):
    options = write_parts(tmp_path)
    before = load_dataset("fashion_mnist", options)
    images = np.zeros((20, 28, 28), dtype=np.uint8)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(pack(images)))
    after = load_dataset("fashion_mnist", options)
    assert after.train.sha256 != before.train.sha256
    assert after.evaluation.sha256 == before.evaluation.sha256


def test_pixels_are_padded_with_black_and_normalized():
    images = np.full((1, 28, 28), 255, dtype=np.uint8)
    output = transform_images(images)
    assert np.allclose(output[0, :, 0, :], (0 - 0.2860) / 0.3530)
    assert np.allclose(output[0, :, 2:30, 2:30], (1 - 0.2860) / 0.3530)
    assert np.array_equal(output[0, 0], output[0, 2])


def test_missing_files_are_exit_3_and_say_how_to_get_them(tmp_path):
    error = refuse({"folder": str(tmp_path)})
    assert error.code is ExitCode.MISSING
    assert "dataset-fashion-mnist" in error.fix
    assert "download" in error.fix


def test_a_failed_download_is_exit_3(tmp_path, monkeypatch):
    def fail(root, download):
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", fail)
    monkeypatch.setattr(fashion_mnist, "_DEBIAN_FOLDER", tmp_path / "none")
    monkeypatch.setenv("HOME", str(tmp_path))
    error = refuse({"download": True})
    assert error.code is ExitCode.MISSING
    assert "dataset-fashion-mnist" in error.fix


def test_a_download_is_found_afterwards(tmp_path, monkeypatch):
    def download_parts(root, download):
        assert download
        folder = tmp_path / ".cache/edge-toolchain/datasets/FashionMNIST/raw"
        assert str(folder).startswith(root)
        folder.mkdir(parents=True)
        write_parts(folder)

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", download_parts)
    monkeypatch.setattr(fashion_mnist, "_DEBIAN_FOLDER", tmp_path / "none")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_dataset("fashion_mnist", {"download": True}).train) == 20
    monkeypatch.delattr(torchvision.datasets, "FashionMNIST")  # the second time needs none
    assert len(load_dataset("fashion_mnist", {}).train) == 20


IMAGES = "train-images-idx3-ubyte.gz"
LABELS = "train-labels-idx1-ubyte.gz"
ZEROS = np.zeros((20, 28, 28), dtype=np.uint8)
GOOD = gzip.compress(pack(ZEROS))


CORRUPT = {
    "half a file": (IMAGES, GOOD[: len(GOOD) // 2]),
    "empty": (IMAGES, b""),
    "not gzip": (IMAGES, b"not gzip at all"),
    "nothing inside": (IMAGES, gzip.compress(b"")),
    "another number of axes": (IMAGES, gzip.compress(b"\0\0\x08\x01" + bytes(100))),
    "a byte short": (IMAGES, gzip.compress(pack(ZEROS)[:-1])),
    "a byte long": (IMAGES, gzip.compress(pack(ZEROS) + b"x")),
    "a picture short": (IMAGES, gzip.compress(pack(ZEROS[1:]))),
    "another size of picture": (IMAGES, gzip.compress(pack(ZEROS[:, 1:]))),
    "terabytes declared": (IMAGES, gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 28, 28) + bytes(784))),
    "no end": (IMAGES, GOOD[:-4]),
    "more pictures than are read": (IMAGES, gzip.compress(pack(np.zeros((86_000, 28, 28), dtype=np.uint8)), 1)),
    "a label out of range": (LABELS, gzip.compress(pack(np.full(20, 10, dtype=np.uint8)))),
}


@pytest.mark.parametrize(("name", "content"), CORRUPT.values(), ids=CORRUPT.keys())
def test_a_corrupt_file_is_exit_23_and_named(tmp_path, name, content):
    options = write_parts(tmp_path)
    (tmp_path / name).write_bytes(content)
    error = refuse(options)
    assert error.code is ExitCode.MALFORMED
    assert name in error.where
    assert error.expected is not None
    assert error.found is not None


def test_damage_inside_the_compressed_bytes_is_exit_23(tmp_path):
    options = write_parts(tmp_path)
    path = tmp_path / IMAGES
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert refuse(options).code is ExitCode.MALFORMED
