import io

import numpy as np

from toolchain.data import fashion_mnist_small, load_dataset
from toolchain.data.dataset import ImageSamples
from toolchain.data.make_fashion_mnist_small import make_archive


def test_it_is_balanced_and_whole():
    dataset = load_dataset("fashion_mnist_small", {})
    assert len(dataset.calibration) == 512
    assert len(dataset.evaluation) == 2000
    assert set(np.bincount(dataset.calibration.targets["labels"])) == {51, 52}
    assert set(np.bincount(dataset.evaluation.targets["labels"])) == {200}
    assert dataset.train is None
    assert dataset.evaluation.batch(0, 2)["input"].shape == (2, 3, 32, 32)


def test_the_first_ten_are_of_ten_classes():
    assert len(set(load_dataset("fashion_mnist_small", {}).calibration.targets["labels"][:10].tolist())) == 10


def test_its_licence_lies_beside():
    text = fashion_mnist_small.FILE.with_name("fashion_mnist_small.LICENSE.txt").read_text()
    assert "MIT License" in text
    assert "Zalando SE" in text


def make_part(count):
    images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = np.random.default_rng(1).integers(0, 10, count)
    return ImageSamples(
        images=images, targets={"labels": labels}, sha256="", transform=fashion_mnist_small.transform_images
    )


def test_making_it_twice_gives_the_same_bytes():
    first, second = (make_archive(make_part(1500), make_part(3000)) for _ in range(2))
    assert first == second


def test_it_takes_the_first_pictures_of_each_class():
    training = make_part(1500)
    archive = np.load(io.BytesIO(make_archive(training, make_part(3000))))
    of_class_3 = archive["calibration_images"][archive["calibration_labels"] == 3]
    assert np.array_equal(of_class_3, training.images[training.targets["labels"] == 3][: len(of_class_3)])
